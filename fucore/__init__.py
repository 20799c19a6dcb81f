"""fucore: federated unlearning, simulated on one machine and judged by what retraining would have forgotten."""

__version__ = "0.1.0"

from . import forgetting as forget  # noqa: F401
from . import partition  # noqa: F401
from .data import Dataset, Split, load, plant  # noqa: F401
from .evaluation import Report, compare  # noqa: F401
from .engine import Hooks, LocalTraining, Preprocessing  # noqa: F401
from .errors import FucoreError  # noqa: F401
from .federation import Federation  # noqa: F401
from .forgetting import Request  # noqa: F401
from .partition import Partition  # noqa: F401
from .run import Cost, Run  # noqa: F401
from .store import Store  # noqa: F401
from .unlearning import METHODS, method, unlearn  # noqa: F401
