"""fucore: federated unlearning, simulated on one machine and judged by what retraining would have forgotten."""

from ._version import __version__  # noqa: F401
from .companion import explorers, findings, papers, params, results, widgets
from .companion.saying import say
from .data import domains, partition
from .data import forgetting as forget
from .data.arrays import from_arrays
from .data.dataset import Dataset, Split
from .data.forgetting import Request
from .data.partition import Partition
from .data.planting import plant
from .data.sources import load
from .errors import FucoreError
from .evaluation import METRICS, MethodReport, Reference, Report, compare, metric, reference
from .federation import models
from .federation.case import Case, case, cases
from .federation.federation import Federation
from .federation.server import FedAvg, Server
from .federation.training import Hooks, LocalTraining, Preprocessing, Step
from .runs.run import Cost, Run
from .runs.store import Store
from .runs.sweep import Sweep, sweep
from .unlearning import METHODS, method, unlearn

__all__ = [
    "METHODS", "METRICS", "Case", "Cost", "Dataset", "FedAvg", "Federation", "FucoreError", "Hooks", "LocalTraining", "MethodReport", "Partition", "Preprocessing", "Reference", "Report", "Request",
    "Run", "Server", "Split", "Step", "Store", "Sweep", "case", "cases", "compare", "domains", "explorers", "findings", "forget", "from_arrays", "load", "method", "metric", "models", "papers", "params", "partition", "plant", "reference", "results", "say", "sweep", "unlearn", "widgets",
]  # fmt: skip
