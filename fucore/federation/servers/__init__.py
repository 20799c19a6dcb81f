"""Aggregation rules besides federated averaging, one file each; a value of :class:`fucore.federation.federation.Federation`."""

from .fedavgm import FedAvgM
from .fedopt import FedAdagrad, FedAdam, FedYogi
from .scaffold import Scaffold

__all__ = ["FedAdagrad", "FedAdam", "FedAvgM", "FedYogi", "Scaffold"]
