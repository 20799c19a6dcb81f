"""What determines the runs of a federation, and whether it is still what it was."""

from __future__ import annotations

import dataclasses

import torch

from ..data.dataset import Dataset, hash_splits
from ..data.partition import Partition
from ..errors import require, require_kind, require_number, require_whole
from ..machine import check_device
from ..runs.fingerprint import hash_of_code, source_of
from ..runs.store import Store
from .engine import stack_size
from .models import FACTORIES, build, fingerprint
from .server import Server
from .training import Hooks, LocalTraining, Preprocessing, sources

#: What the parts of a federation must be.
PARTS = (
    ("data", Dataset, "a data set, such as fu.load('digits')"),
    ("clients", Partition, "a partition, such as fu.partition.iid(data.train.labels, 10)"),
    ("local", LocalTraining, "fu.LocalTraining(...)"),
    ("preprocessing", Preprocessing, "fu.Preprocessing(...)"),
    ("server", Server, "an aggregation rule such as fu.FedAvg('size')"),
    ("hooks", Hooks, "fu.Hooks(...)"),
    ("device", (str, torch.device), "'cpu' or 'cuda'"),
    ("store", (Store, type(None)), "fu.Store(folder), a folder, or None"),
)


def check_parts(federation) -> None:
    """Raise ``FucoreError`` for the first part of a federation that is wrong."""
    for name, kind, example in PARTS:
        require_kind(name, getattr(federation, name), kind, example)
    require(
        not isinstance(federation.model, torch.nn.Module),
        "model is a network, but must be a function (shape, classes) -> network, so that new ones can be drawn.",
    )
    if federation.workers is not None:
        require_whole("workers", federation.workers, 1)
    require_number("participation", federation.participation, 0.0, 1.0, open_low=True)
    check_device(federation.device, federation.precision)
    federation.data.check_unchanged()
    federation.clients.check_unchanged()
    highest = max(int(indices[-1]) for indices in federation.clients.indices if len(indices))
    require(
        highest < len(federation.data.train),
        f"the partition names example {highest}, but {federation.data.name} has only {len(federation.data.train)} training examples.",
    )


def config_of(federation) -> dict:
    """Everything about a federation that determines what training gives; of the data only what clients hold, and the test images."""
    data, model = federation.data, federation.model
    module = build(model, federation.input_shape, len(data.classes), seed=0)
    return {
        "data": hash_splits(federation.held, data.test),
        "scale": [data.mean, data.std],
        "classes": len(data.classes),
        "clients": federation.clients.hash,
        "partition": repr(federation.clients),
        "model": model if isinstance(model, str) else getattr(model, "__qualname__", type(model).__qualname__),
        "model_fingerprint": fingerprint(model, module) if federation.store is not None else None,
        "local": dataclasses.asdict(federation.local),
        "preprocessing": dataclasses.asdict(federation.preprocessing),
        "server": federation.server.config,
        "hooks": sources(federation.hooks),
        "kinds": kinds_of(federation),
        "arithmetic": [torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled, torch.backends.cudnn.allow_tf32],
        "participation": federation.participation,
        "device": torch.device(federation.device).type,
        "precision": federation.precision,
        "code": hash_of_code("fucore.federation.federation"),  # a stored run of other code is never taken
        "torch": torch.__version__,
    }


def kinds_of(federation) -> list[str | None]:
    """Hashes of what classes of the user's do that stand for fucore's own values: a ``LocalTraining`` with another rate, say."""
    values = (federation.local, federation.preprocessing, federation.data, federation.data.train, federation.data.test, federation.clients)
    return ["" if type(value).__module__.startswith("fucore.") else source_of(type(value)) for value in values]


def can_be_told(config: dict) -> bool:
    """Whether all that the user brought can be told from its code, so that a run of this ``config`` can be kept."""
    return None not in (*config["hooks"], *config["kinds"])


def code_of(federation) -> list:
    """What the user's parts of a federation compute, by hashes: the network's function, the hooks and the server's rule."""
    model = FACTORIES.get(federation.model) if isinstance(federation.model, str) else federation.model
    own = getattr(model, "__module__", "").startswith("fucore.federation.")
    return [
        "" if own else source_of(model),
        sources(federation.hooks),
        kinds_of(federation),
        source_of(federation.server),
    ]


def check_unchanged(federation) -> None:
    """Raise ``FucoreError`` if data or code are no longer those that the federation was first used with."""
    federation.data.check_unchanged()
    federation.clients.check_unchanged()
    require(
        federation._code == code_of(federation),
        "what the network's function, a hook or the server's rule computes was changed after this federation had been used: "
        "make a new fu.Federation, so that no result mixes both.",
    )


def explain(federation) -> str:
    """How a federation is computed, in sentences: which speed-ups apply, and why others do not."""
    worker, workers = federation.engine.worker, federation.engine.workers
    traits, precision = worker.traits, federation.precision
    lines = [f"{federation!r} on {federation.device} in {precision}."]
    lines.append(f"{workers} clients at a time, one thread each." if workers > 1 and not traits.draws else "one client at a time.")
    if traits.draws:
        lines.append(
            "The network draws random numbers while training, so clients are trained one after the other, each from a seed of its own."
        )
    lines.append(
        f"Images and features are kept {'channels-last' if traits.channels_last else 'as they come: channels-last would change the network, or not pay'}."
    )
    if not traits.pool_first:
        lines.append("Max-pooling stays after ReLU, since the network uses the parts of its Sequential one by one.")
    stacked = worker.stacks and stack_size(federation.layout.size, int((federation.clients.sizes > 0).sum())) > 1
    lines.append(
        "Several clients are computed as one stack."
        if stacked
        else "Clients are not stacked: their network is too large for that, too few take part, or it cannot be batched."
    )
    return "\n".join(lines)
