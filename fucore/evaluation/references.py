"""References given to everybody: what retrained models answer, made once, so that a method of yours is judged with nothing to retrain::

    reference = fu.reference("mnist5k")
    mine = reference.unlearn("my-method")
    print(fu.compare({"mine": mine}, reference))

A reference is several cases.  Of each it keeps the partition, the original's weights, who leaves, and what the original and K
retrained models answer, not the retrained models themselves: log-odds of the true class and whether they are right, on the
forgotten examples, the test images and a sample of the remaining examples.  Three small files with no code in them,
``<name>.json``, ``<name>.weights.safetensors`` and ``<name>.answers.safetensors``, bound to each other and to the data by hashes.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from safetensors.torch import load_file, save

from ..data.dataset import Dataset
from ..data.forgetting import client
from ..data.partition import Partition
from ..data.sources import load
from ..errors import FucoreError, first_line, require, require_choice, require_kind, shown
from ..federation.case import Case, NotKept
from ..federation.federation import Federation
from ..federation.training import LocalTraining
from ..progress import progress
from ..runs.entries import checksum
from ..runs.files import publish, write_atomically
from ..runs.looks import Look, look_at
from ..runs.run import Cost, Run
from ..runs.store import Store
from ..unlearning.driver import unlearn

FOLDER = pathlib.Path(__file__).parent / "packs"
FORMAT = "fucore reference 1"
PARTS, SPLITS = ("weights", "answers"), ("departed", "test", "sample")
#: How far, in log-odds, another processor's answers of the original may be from those that were kept, besides one per cent.
TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class GivenCase(Case):
    """A case whose retrained models are known by their answers alone: ``answers``, split to look, for each run by identity."""

    answers: dict[int, dict[str, Look]] = field(default_factory=dict)
    client_losses: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        pass  # the retrained models were checked when the reference was made

    def look(self, run: Run, split: str = "departed") -> Look:
        if split in self.answers.get(id(run), {}):
            return self.answers[id(run)][split]
        self._require_weights(run)
        return super().look(run, split)

    def losses(self, run: Run) -> np.ndarray:
        return self.client_losses[id(run)] if id(run) in self.client_losses else super().losses(run)

    def logits(self, run: Run, split="departed") -> torch.Tensor:
        self._require_weights(run)
        return super().logits(run, split)

    def _require_weights(self, run: Run) -> None:
        if len(run.weights) == 0:
            raise NotKept(
                "this reference keeps what its retrained models answer, not the models: train a case of your own, with fu.case(...)."
            )

    def __getstate__(self):
        raise FucoreError("cases of a reference cannot be sent to other processes: open the reference there.")


@dataclass(frozen=True, eq=False)
class Reference:
    """Several cases to judge any method on; ``record`` says how they were made."""

    name: str
    data: Dataset
    cases: tuple[GivenCase, ...]
    record: dict

    def unlearn(self, method: str, *, seed: int = 0, **parameters) -> list[Run]:
        """One run of ``method`` in each case, with the same ``seed`` and parameters; what is in the store is taken from there."""
        return [unlearn(method, case, seed=seed, **parameters) for case in progress(self.cases, method)]

    def __repr__(self) -> str:
        made = self.record
        originals, models = len(made["originals"]), len(made["cases"][0]["seeds"])
        return (
            f"Reference({self.name!r}: {len(self.cases)} cases of {originals} originals, {models} retrained models each; "
            f"{made['model']}, {made['partition']}, {made['rounds']} rounds)"
        )


def reference(
    name: str, data: Dataset | None = None, *, store: Store | str | None = None, workers: int | None = None, device: str = "cpu"
) -> Reference:
    """The reference ``name``: ``mnist5k`` (embedded digits), ``cifar10-iid``, ``cifar10-dirichlet``, or the path of one without suffix.

    ``data``: the data set it was made on, by default loaded by its name.  ``store``, ``workers`` and ``device`` are those of the
    federations that methods run in.  Raises ``FucoreError`` for an unknown or damaged reference, and for other data.
    """
    require_kind("name", name, (str, pathlib.Path), "the name of a reference, such as 'mnist5k'")
    stem = _stem(name)
    record, tensors = _read(stem)
    data = load(record["data"]) if data is None else data
    require_kind("data", data, Dataset, "fu.load(...)")
    require(
        data.hash == record["data_sha256"], f"reference {stem.name} was made on {record['data']}, but {data!r} has other images or labels."
    )
    options = {"workers": workers, "device": device} | ({} if store is None else {"store": store})
    federations = [federation_of(record, data, owner_of(tensors, place), **options) for place in range(len(record["originals"]))]
    originals = [_original(record, tensors, place, each) for place, each in enumerate(federations)]
    cases = tuple(_case(record, tensors, place, originals) for place in range(len(record["cases"])))
    found = Reference(stem.name, data, cases, record)
    _check(found)
    return found


def names() -> list[str]:
    """Of the references that fucore brings along."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def federation_of(record: dict, data: Dataset, owner: np.ndarray, **options) -> Federation:
    """The federation of everybody, as ``record`` describes it; ``owner`` int [n] is who holds each training example."""
    clients = Partition(tuple(np.flatnonzero(owner == number) for number in range(int(owner.max()) + 1)), record["partition"])
    return Federation(data, clients, record["model"], LocalTraining(**record["local"]), **options)


def owner_of(tensors: Mapping[str, torch.Tensor], place: int) -> np.ndarray:
    """Who holds each training example in the partition of an original, int64 [n]."""
    return tensors[f"owner.{place}"].numpy().astype(np.int64)


def _stem(name: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(name)
    own = path.parent == pathlib.Path() and not isinstance(name, pathlib.Path)
    if own and not (FOLDER / f"{name}.json").is_file():  # all are listed only for the sentence: who opens one does not depend on the others
        require_choice("reference", str(name), names())
    return FOLDER / path if own else path


def _read(stem: pathlib.Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """(record, tensors) of a reference, checked against each other; raises ``FucoreError`` if they are not whole."""
    tensors = {}
    try:
        record = json.loads(stem.with_name(f"{stem.name}.json").read_bytes())
        require(record["format"] == FORMAT, f"{stem.name} is of format {shown(record['format'])}, but this fucore reads {FORMAT!r}.")
        for part in PARTS:
            file = stem.with_name(f"{stem.name}.{part}.safetensors")
            require(checksum(file) == record["sha256"][part], f"{file} does not belong to the .json beside it: get all files of it again.")
            tensors |= load_file(file)
        return record, tensors
    except FucoreError:
        raise
    except Exception as error:  # whatever a damaged file makes a parser raise
        raise FucoreError(f"the reference {stem} cannot be read ({type(error).__name__}: {first_line(error)}): get it again.") from None


def write(stem: pathlib.Path, record: dict, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a reference as :func:`reference` reads it: ``record`` lacks format and checksums, ``tensors`` are named as in :func:`kept`."""
    weights = {name: tensor for name, tensor in tensors.items() if name.startswith(("weights.", "owner."))}
    parts = {"weights": weights, "answers": {name: tensor for name, tensor in tensors.items() if name not in weights}}
    sums = {}
    for part, values in parts.items():
        file = stem.with_name(f"{stem.name}.{part}.safetensors")
        write_atomically(file, save({name: values[name].contiguous() for name in sorted(values)}))
        sums[part] = checksum(file)
    publish(stem.with_name(f"{stem.name}.json"), json.dumps({"format": FORMAT, **record, "sha256": sums}, indent=1) + "\n")


def kept(looks: list[Mapping[str, Look]], losses: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """What is kept of the answers of a case's original and retrained models, in this order: one look a split of ``SPLITS`` for each."""
    tensors = {"losses": torch.from_numpy(np.stack(losses).astype(np.float32))}
    for split in SPLITS:
        tensors[f"{split}.log_odds"] = torch.from_numpy(np.stack([look[split].log_odds for look in looks]).astype(np.float16))
        tensors[f"{split}.right"] = torch.from_numpy(np.packbits(np.stack([look[split].right for look in looks]), axis=1))
    return tensors


def _original(record: dict, tensors: Mapping[str, torch.Tensor], place: int, federation: Federation) -> Run:
    made, weights = record["originals"][place], tensors[f"weights.{place}"].float()
    require(weights.shape == (federation.layout.size,), f"the network {record['model']} has changed since this reference was made.")
    rounds = record["rounds"]
    plan = {"rounds": rounds, "seed": made["seed"], "start": None, "first_round": 0, "horizon": rounds, "record_updates": False}
    config = {**federation.config, **plan, "reference": record["name"]}
    return Run(weights, _history(made["accuracies"], made["examples"]), config, Cost(**made["cost"]), record["made"], None, federation)


def _case(record: dict, tensors: Mapping[str, torch.Tensor], place: int, originals: list[Run]) -> GivenCase:
    made = record["cases"][place]
    original = originals[made["original"]]
    retrained = [
        Run(torch.empty(0), _history(each, made["examples"]), original.config | {"seed": seed}, Cost(**made["cost"]), record["made"], None)
        for seed, each in zip(made["seeds"], made["accuracies"])
    ]
    found = GivenCase(original, tuple(retrained), client(made["client"]), {}, {})
    looks = {split: _looks(tensors, f"{place}.{split}", len(getattr(found, split))) for split in SPLITS}
    for row, run in enumerate([original, *retrained]):
        found.answers[id(run)] = {split: rows[row] for split, rows in looks.items()}
        found.client_losses[id(run)] = tensors[f"{place}.losses"][row].double().numpy()
    return found


def _history(accuracies: list[float], examples: int) -> list[dict]:
    """The rounds of a run: ``accuracies`` on the test images after each of them, ``examples`` processed in each."""
    return [{"round": done, "test_accuracy": value, "examples": done * examples} for done, value in enumerate(accuracies, start=1)]


def _looks(tensors: Mapping[str, torch.Tensor], name: str, count: int) -> list[Look]:
    """What the original and then each retrained model answers."""
    right = np.unpackbits(tensors[f"{name}.right"].numpy(), axis=1, count=count).astype(bool)
    odds = tensors[f"{name}.log_odds"].float().numpy()
    require(odds.shape == right.shape, f"this reference holds {odds.shape[1]} answers where there are {count} examples: get it again.")
    return [Look(*row) for row in zip(odds, right)]


def _check(found: Reference) -> None:
    """Raise ``FucoreError`` unless the first original, computed here, answers as it did where it was kept."""
    case = found.cases[0]
    part = case.departed.take(np.arange(min(64, len(case.departed))))
    here = look_at(case.federation.logits(case.original.weights, part), part.labels).log_odds
    away = np.abs(here - case.look(case.original).log_odds[: len(part)])
    near = away <= TOLERANCE + 0.01 * np.abs(here)
    require(
        near.all(),
        f"the network or the preprocessing has changed since the reference {found.name} was made: its original answers otherwise.",
    )
