"""Parameters of the notebooks: one catalogue, validated before anything is trained.

A notebook's first code cell, tagged ``parameters``, assigns the ones it uses; its second is
``p = fu.params.check(globals())``.  What is wrong is said in one sentence.
"""

from __future__ import annotations

import ast
from typing import Annotated, Any, Literal, get_args, get_origin

import pandas as pd
import pydantic

from ..data import forgetting, partition
from ..data.dataset import Dataset
from ..data.domains import BENCHMARKS, Domains
from ..data.domains import load as load_domains
from ..data.sources import load, names
from ..errors import FucoreError, require
from ..federation.case import Case, case
from ..federation.federation import Federation
from ..federation.models import FACTORIES
from ..federation.server import FedAvg
from ..federation.training import LocalTraining, Preprocessing
from ..runs.run import Run, provenance
from ..unlearning import METHODS, unlearn

PARTITIONS = ("dirichlet", "iid", "one-class", "shards", "overlapping")
Whole = Annotated[int, pydantic.Field(strict=True)]
Number = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False)]


class Parameters(pydantic.BaseModel, extra="forbid", frozen=True):
    """Every parameter that a notebook may have, with its quick default."""

    profile: Literal["quick", "paper"] = pydantic.Field(
        "quick", description="quick: embedded data, minutes on two cores; paper: the papers' setting, for a GPU"
    )
    dataset: str = pydantic.Field("mnist5k", description="data set")
    train_size: Whole | None = pydantic.Field(None, ge=1, description="keep only so many training examples")
    image_size: Whole | None = pydantic.Field(None, ge=1, description="resize images to so many pixels a side when loading")
    model: Literal[tuple(FACTORIES)] = pydantic.Field(  # pyright: ignore[reportInvalidTypeForm]  from a catalogue
        "cnn-groupnorm", description="network"
    )
    benchmark: Literal[tuple(BENCHMARKS)] = pydantic.Field(  # pyright: ignore[reportInvalidTypeForm]  from a catalogue
        "digits-embedded", description="data sets of the clients"
    )
    imagenet: str | None = pydantic.Field(None, description="folder of ImageNet, for image-9 and image-65")
    native: bool = pydantic.Field(False, description="keep each data set's image size (for models that pool adaptively)")
    forget_class: Whole = pydantic.Field(0, ge=0, description="the class that the client asks to forget")
    inherit: Literal["anchored", "current"] = pydantic.Field(
        "anchored", description="what clients that do not compute send: the original model, or the current one"
    )
    unit_share: Number = pydantic.Field(0.02, ge=0, le=1, description="share of units silenced")
    attribution_steps: Whole = pydantic.Field(20, ge=1, description="steps of the integral along the activations")
    clients: Whole = pydantic.Field(10, ge=2, description="clients in the federation")
    partition: Literal[PARTITIONS] = pydantic.Field(  # pyright: ignore[reportInvalidTypeForm]  from a catalogue
        "dirichlet", description="who holds what"
    )
    alpha: float = pydantic.Field(0.5, strict=True, ge=0.01, description="Dirichlet concentration: 0.01 very uneven, inf even")
    client: Whole = pydantic.Field(0, ge=0, description="the client who leaves")
    rounds: Whole = pydantic.Field(10, ge=1, description="federated rounds of training and retraining")
    local_epochs: Whole = pydantic.Field(2, ge=1, description="passes over a client's data each round")
    batch: Whole = pydantic.Field(32, ge=1, description="batch size")
    optimizer: Literal["adam", "sgd"] = pydantic.Field("adam", description="client optimiser")
    lr: Number = pydantic.Field(3e-3, gt=0, le=10, description="learning rate")
    momentum: Number = pydantic.Field(0.0, ge=0, lt=1, description="momentum of sgd")
    weight_decay: Number = pydantic.Field(0.0, ge=0, description="weight decay")
    recovery_rounds: Whole = pydantic.Field(5, ge=1, description="federated rounds of unlearning")
    pruning_ratio: Annotated[Number, pydantic.Field(ge=0, le=1)] | Literal["auto"] = pydantic.Field(
        0.4, description="share of parameters reset, or auto"
    )
    mode: Literal["code", "paper"] = pydantic.Field("code", description="FedMemPrune as in its public code, or as in the text")
    reinit: Literal["fresh_model", "code"] = pydantic.Field(
        "fresh_model", description="reset values from a new model, or as in the public code"
    )
    retrained_models: Whole = pydantic.Field(5, ge=3, description="retrained references K")
    unlearning_seeds: Whole = pydantic.Field(2, ge=1, description="runs of each unlearning method")
    planted_share: Number = pydantic.Field(0.05, gt=0, le=0.5, description="share of the leaving client's labels made wrong on purpose")
    seed: Whole = pydantic.Field(0, ge=0, description="seed of the partition and the original model")
    normalise: bool = pydantic.Field(True, description="normalise pixels by the training set's mean and spread")
    augment: bool = pydantic.Field(False, description="random crops and flips of training images")
    resize: Whole | None = pydantic.Field(None, ge=1, description="resize images to so many pixels a side")
    device: str = pydantic.Field("cpu", description="where to train, such as cuda")
    precision: Literal["fp32", "bf16"] = pydantic.Field("fp32", description="arithmetic of the network")
    _changed: tuple[str, ...] = ()

    @pydantic.field_validator("dataset")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in names() and not name.startswith(("npz:", "folder:", "hf:")):
            raise ValueError("unknown")
        return name

    # ---- what the parameters describe

    def load(self) -> Dataset:
        """The data set."""
        size = self.train_size
        if size is not None and "train_size" not in self._changed:  # a page's own limit, not a wish for more than there is
            size = min(size, len(load(self.dataset, image_size=self.image_size).train))
        return load(self.dataset, train_size=size, image_size=self.image_size)

    def split(self, labels) -> partition.Partition:
        """Who holds what of ``labels``."""
        makers = {
            "dirichlet": lambda: partition.dirichlet(labels, self.clients, self.alpha, self.seed),
            "iid": lambda: partition.iid(labels, self.clients, self.seed),
            "one-class": lambda: partition.one_class_per_client(labels, self.clients, self.seed),
            "shards": lambda: partition.shards(labels, self.clients, seed=self.seed),
            "overlapping": lambda: partition.overlapping(labels, self.clients, seed=self.seed),
        }
        return makers[self.partition]()

    def federation(self, data: Dataset | Domains | None = None, clients: partition.Partition | None = None) -> Federation:
        """The federation of ``clients`` (default: the split of the parameters) on ``data``, or on the parameters' data.

        Of a benchmark's domains it has the benchmark's clients, with weights by size, as in its paper.
        """
        data = data or self.load()
        local = LocalTraining(self.local_epochs, self.batch, self.optimizer, self.lr, self.momentum, self.weight_decay)
        wild = isinstance(data, Domains)
        held = clients or (data.clients if wild else self.split(data.train.labels))
        return Federation(
            data.data if wild else data,
            held,
            self.model,
            local,
            Preprocessing(self.normalise, self.augment, resize=self.resize),
            server=FedAvg("size" if wild else "uniform"),
            device=self.device,
            precision=self.precision,
        )

    def case(self, federation: Federation, request: forgetting.Request | None = None, **options) -> Case:
        """The original trained with the parameters' seed and rounds, and the retrained models with the seeds after it.

        ``request``: the parameters' by default; ``options`` are those of the original's training, such as ``record_updates=True``.
        """
        return case(federation, request or self.request(), self.rounds, seed=self.seed, retrained=self.retrained_models, **options)

    def unlearn(self, name: str, case: Case, **parameters: Any) -> list[Run]:
        """The method ``name`` on a case, once for each of ``unlearning_seeds``; with ``recovery_rounds`` rounds unless told otherwise."""
        if "rounds" in METHODS[name].defaults:
            parameters = {"rounds": self.recovery_rounds} | parameters
        return [unlearn(name, case, seed=seed, **parameters) for seed in range(self.unlearning_seeds)]

    def real_noniid(self) -> Domains:
        """The Real-Noniid benchmark."""
        options = {name: getattr(self, name) for name in ("alpha", "seed", "native", "train_size", "image_size", "imagenet")}
        return load_domains(self.benchmark, **options)

    def request(self) -> forgetting.Request:
        """Forget the client who leaves."""
        return forgetting.client(self.client)

    def basis(self) -> str:
        """On how much a finding of this run rests: data, profile, models and runs, and what was changed from the profile."""
        parts = [self.benchmark if "benchmark" in self.model_fields_set else self.dataset, self.profile]
        counts = {"retrained_models": "retrained models", "unlearning_seeds": "runs a method"}
        parts += [f"{getattr(self, name)} {words}" for name, words in counts.items() if name in self.model_fields_set]
        return ", ".join(parts + [f"{name} {getattr(self, name)}" for name in self._changed])

    def provenance(self, federation: Federation) -> pd.DataFrame:
        """Everything needed to get the same numbers again, as a table of names and values; of the parameters those that the notebook has."""
        facts = {
            **provenance(federation.data),
            "partition": repr(federation.clients),
            "partition_sha256": federation.clients.hash,
            **self.model_dump(include=self.model_fields_set),
        }
        rows = [(key.replace("_", " "), value[:16] + "…" if key.endswith("sha256") else str(value)) for key, value in facts.items()]
        return pd.DataFrame(rows, columns=["what", ""]).set_index("what").rename_axis(None)


_ADAM = {"optimizer": "adam", "lr": 1e-4, "batch": 128, "local_epochs": 3, "rounds": 100, "recovery_rounds": 30, "device": "cuda"}
_SGD = {
    "optimizer": "sgd",
    "lr": 1e-2,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "batch": 64,
    "local_epochs": 10,
    "rounds": 100,
    "recovery_rounds": 40,
    "device": "cuda",
}
PAPER = {
    "cifar10": {**_ADAM, "model": "resnet18", "resize": 224, "normalise": False, "pruning_ratio": 0.4, "reinit": "code"},
    "cifar100": {**_SGD, "model": "resnet34", "augment": True, "pruning_ratio": 0.85, "reinit": "code"},
    "emnist-letters": {**_ADAM, "model": "vgg9", "normalise": False, "pruning_ratio": 0.4, "reinit": "code"},
}
#: Huang et al. name the networks alone; rounds and optimiser are ours.
PAPER_BENCHMARKS = {
    "digits": {**_ADAM, "model": "cnn", "rounds": 50},
    "image-9": {**_ADAM, "model": "resnet18-affine", "augment": True},
    "image-65": {**_SGD, "model": "resnet32", "augment": True},
}
PAPER_IID_RATIO = {"cifar10": 0.3, "cifar100": 0.8, "emnist-letters": 0.3}


def check(namespace: dict, **quick) -> Parameters:
    """The validated parameters among the variables of a notebook (pass ``globals()``).

    ``quick``: this notebook's own quick defaults, where they differ from the catalogue's.
    With ``profile="paper"`` every parameter that the notebook has, and that was not set to something else than its quick
    default, takes the value of Wei et al. for the data set (CIFAR-10 unless it is one of theirs), or of Huang et al. for the
    benchmark (digits unless it is one of theirs).  Two oddities of their
    notebooks are not copied: the model unlearned on uneven CIFAR-10 had 50 rounds where others had 100, and unlearning on
    uneven CIFAR-100 used 5 local epochs instead of 10.

    Raises ``FucoreError`` with one sentence for the first parameter that is wrong or unknown.
    """
    declared, injected = _cells(namespace)
    unknown = sorted(injected - declared)
    require(not unknown, f"{unknown[0] if unknown else ''} is not a parameter of this notebook; it has: {', '.join(sorted(declared))}.")
    known = Parameters.model_fields
    given = {name: namespace[name] for name in known if name in namespace}
    parameters = _validated(given)
    defaults = {name: known[name].default for name in given} | quick
    chosen = [name for name in given if name in injected or given[name] != defaults[name]]
    if parameters.profile == "paper":
        parameters = _validated({**_paper(parameters, "benchmark" in given), **{name: given[name] for name in chosen}})
    stated = ("profile", "dataset", "benchmark", "retrained_models", "unlearning_seeds", "device")
    parameters._changed = tuple(name for name in chosen if name not in stated)  # pyright: ignore[reportAttributeAccessIssue]  private
    require(
        parameters.client < parameters.clients,
        f"client is {parameters.client}, but must be a whole number from 0 to {parameters.clients - 1}, since there are {parameters.clients} clients.",
    )
    return parameters


def allowed(name: str) -> str:
    """What a parameter may be, in words."""
    field = Parameters.model_fields[name]
    if name == "dataset":
        return f"one of: {', '.join(names())}"
    if name == "pruning_ratio":
        return "a number in [0, 1], or auto"
    if get_origin(field.annotation) is Literal:
        return f"one of: {', '.join(get_args(field.annotation))}"
    plain = {bool: "True or False", str: "a text", str | None: "a text, or None"}
    if field.annotation in plain:
        return plain[field.annotation]
    bounds = {key: getattr(bound, key) for bound in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(bound, key)}
    if field.annotation is not float:
        return f"a whole number of at least {bounds['ge']}" + (", or None" if type(None) in get_args(field.annotation) else "")
    low = f"[{bounds['ge']:g}" if "ge" in bounds else f"({bounds['gt']:g}"
    high = f"{bounds['le']:g}]" if "le" in bounds else f"{bounds['lt']:g})" if "lt" in bounds else "inf]" if name == "alpha" else "inf)"
    return f"a number in {low}, {high}"


def comment(name: str) -> str:
    """What a parameter is and may be, as notebooks say it beside the parameter; without an equals sign, which papermill's help drops."""
    return f"{Parameters.model_fields[name].description}; {allowed(name)}"


def _validated(values: dict) -> Parameters:
    try:
        return Parameters(**values)
    except pydantic.ValidationError as errors:
        error = errors.errors()[0]
        name = str(error["loc"][0])
        raise FucoreError(f"{name} is {values[name]!r}, but must be {allowed(name)}.") from None


def _paper(parameters: Parameters, wild: bool) -> dict:
    """All values of the paper's setting for these parameters' data set or benchmark."""
    if wild:
        benchmark = parameters.benchmark if parameters.benchmark in PAPER_BENCHMARKS else "digits"
        return {"profile": "paper", "benchmark": benchmark, **PAPER_BENCHMARKS[benchmark]}
    dataset = parameters.dataset if parameters.dataset in PAPER else "cifar10"
    values = {"profile": "paper", "dataset": dataset, **PAPER[dataset]}
    if parameters.partition == "iid":
        values["pruning_ratio"] = PAPER_IID_RATIO[dataset]
    return values


def _cells(namespace: dict) -> tuple[set[str], set[str]]:
    """Names assigned in the notebook's own parameters cell, and in the cell that papermill put after it (both empty without papermill)."""
    cells = list(namespace.get("In", ()))
    places = [place for place, source in enumerate(cells) if source.startswith("# Parameters\n")]
    if not places:
        return set(), set()
    return _assigned(cells[places[-1] - 1]), _assigned(cells[places[-1]])


def _assigned(source: str) -> set[str]:
    return {
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
