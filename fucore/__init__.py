"""fucore: federated unlearning, simulated on one machine and judged by what retraining would have forgotten."""

from ._version import __version__  # noqa: F401
from .companion import explorers, findings, papers, params, results, widgets
from .companion.explorers import explorer
from .companion.saying import say
from .data import domains, partition
from .data import forgetting as forget
from .data.arrays import from_arrays
from .data.dataset import Dataset, Split
from .data.forgetting import Request
from .data.gathered import from_huggingface, from_torch
from .data.partition import Partition
from .data.planting import plant
from .data.sources import load
from .errors import FucoreError
from .evaluation import METRICS, MethodReport, Reference, Report, compare, examples_table, metric, reference, step_by_step
from .federation import models
from .federation.case import Case, case, cases
from .federation.federation import Federation
from .federation.server import FedAvg, Server
from .federation.servers import FedAdagrad, FedAdam, FedAvgM, FedYogi, Scaffold
from .federation.training import Hooks, LocalTraining, Preprocessing, Step
from .printing import save_figure
from .runs.run import Cost, Run
from .runs.store import Store
from .runs.sweep import Sweep, sweep
from .unlearning import METHODS, method, unlearn

__all__ = [
    "METHODS", "METRICS", "Case", "Cost", "Dataset", "FedAdagrad", "FedAdam", "FedAvg", "FedAvgM", "FedYogi", "Federation", "FucoreError", "Hooks", "LocalTraining", "MethodReport", "Partition",
    "Preprocessing", "Reference", "Report", "Request", "Run", "Scaffold", "Server", "Split", "Step", "Store", "Sweep", "case", "cases", "compare", "domains", "examples_table", "explorer",
    "explorers", "findings", "forget", "from_arrays", "from_huggingface", "from_torch", "load", "method", "metric", "models", "papers", "params", "partition", "plant", "reference", "results",
    "save_figure", "say", "step_by_step", "sweep", "unlearn", "widgets",
]  # fmt: skip
