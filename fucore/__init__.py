"""fucore: federated unlearning, simulated on one machine and judged by what retraining would have forgotten."""

__version__ = "0.1.0"

from . import domains, explorers, findings, papers, params, partition, results
from . import forgetting as forget
from .data import Dataset, Split, plant
from .errors import FucoreError
from .evaluation import Report, compare
from .federation import Federation
from .forgetting import Request
from .partition import Partition
from .run import Cost, Run
from .sources import load
from .store import Store
from .sweep import Sweep, sweep
from .training import Hooks, LocalTraining, Preprocessing, Step
from .unlearning import METHODS, method, unlearn

__all__ = [
    "METHODS", "Cost", "Dataset", "Federation", "FucoreError", "Hooks", "LocalTraining", "Partition", "Preprocessing", "Report", "Request",
    "Run", "Split", "Step", "Store", "Sweep", "compare", "domains", "explorers", "findings", "forget", "load", "method", "papers", "params", "partition", "plant", "results", "sweep", "unlearn",
]  # fmt: skip
