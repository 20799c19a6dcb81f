"""Real-Noniid: clients whose data sets differ, with one label space (Huang et al., 2025, Tables 2 and 3).

A *domain* is a data set; each has a few clients of its own, among whom its examples are spread by Dirichlet.  The paper
does not say how classes of different data sets were matched; ours are written out in ``imagenet_classes.csv``
(CIFAR-10 without deer, which ImageNet lacks: 9 classes; 65 of CIFAR-100's classes).
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ..errors import require, require_choice, require_flag, require_number, require_whole, shown
from ..streams import Stream
from . import partition
from .dataset import MOST_PIXELS, Dataset, Split, pixel_statistics
from .partition import Partition
from .sources import load as load_data


@dataclass(frozen=True)
class Benchmark:
    """``domains``: names of data sets; ``clients``: how many each has; ``image_size``: to which all are resized."""

    domains: tuple[str, ...]
    clients: tuple[int, ...]
    image_size: int
    description: str


#: Benchmarks by name; all but the first are the paper's.
BENCHMARKS = {
    "digits-embedded": Benchmark(
        ("mnist5k", "digits", "rendered-digits"),
        (3, 3, 3),
        32,
        "handwritten digits of two sources and rendered (synthetic) ones; no network",
    ),
    "digits": Benchmark(("mnist", "svhn", "usps"), (3, 3, 3), 32, "MNIST, SVHN and USPS, 10 classes"),
    "image-9": Benchmark(("cifar10", "imagenet"), (5, 5), 64, "CIFAR-10 and ImageNet, 9 shared classes"),
    "image-65": Benchmark(("cifar100", "imagenet"), (5, 5), 64, "CIFAR-100 and ImageNet, 65 shared classes"),
}
NOMINAL_SIZE = {"imagenet": 224}
SYNTHETIC = {"rendered-digits": "rendered (synthetic)"}


@dataclass(frozen=True, eq=False)
class Domains:
    """A federation's data from several domains.

    ``data``: all of them joined; ``clients``: who holds what; ``names``: of the domains; ``domain_of``: the domain of each
    client, int64 [clients]; ``tests``: for each client the indices of its own test images, disjoint, spread over its
    domain's clients in the same shares of each class as the training images; ``sizes``: pixels a side of each domain's images
    as they come.
    """

    data: Dataset
    clients: Partition
    names: tuple[str, ...]
    domain_of: np.ndarray
    tests: tuple[np.ndarray, ...]
    sizes: tuple[int, ...]

    def test(self, domain: int) -> Split:
        """All test images of a domain, by its number from 0."""
        require_whole("domain", domain, 0, len(self.names) - 1)
        return self.data.test.take(np.concatenate([self.tests[client] for client in np.flatnonzero(self.domain_of == domain)]))

    def table(self) -> pd.DataFrame:
        """One row a client: domain, size of its images, training and test images, classes it has."""
        counts = self.clients.counts(self.data.train.labels)
        rows = {
            "domain": [self.names[domain] for domain in self.domain_of],
            "image size": [self.sizes[domain] for domain in self.domain_of],
            "training images": self.clients.sizes,
            "test images": [len(test) for test in self.tests],
            "classes": (counts > 0).sum(axis=1),
        }
        return pd.DataFrame(rows).rename_axis("client")


def load(
    benchmark: str | Sequence[str] = "digits-embedded",
    *,
    clients: Sequence[int] | None = None,
    alpha: float = 0.5,
    seed: int = 0,
    image_size: int | None = None,
    native: bool = False,
    train_size: int | None = None,
    test_size: int | None = None,
    imagenet: str | None = None,
    root=None,
) -> Domains:
    """A benchmark by name (see :data:`BENCHMARKS`), or made of any list of data sets that :func:`fucore.data.sources.load` knows.

    Classes of the same name are the same; what is not in every domain is left out.  ``clients``: how many each domain has (3 each for
    a list); ``alpha``: Dirichlet concentration within a domain; ``train_size`` and ``test_size``: at most so many examples of each domain.
    All images are resized to ``image_size`` pixels a side, or with ``native`` keep the size of their data set (for models that
    pool adaptively); grey ones become three equal channels where others have colour.  ``imagenet``: folder with ``train/n01440764/...``
    and ``val/n01440764/...``, for the benchmarks that need it; ``root`` as for :func:`fucore.data.sources.load`.

    Raises ``FucoreError`` if data are missing or the domains share fewer than two classes.
    """
    if isinstance(benchmark, str):
        known = BENCHMARKS[require_choice("benchmark", benchmark, BENCHMARKS)]
    else:
        require(
            isinstance(benchmark, Sequence) and len(benchmark) > 0 and all(isinstance(name, str) for name in benchmark),
            f"benchmark must be a list of data sets or one of: {', '.join(BENCHMARKS)}.",
        )
        known = Benchmark(tuple(benchmark), (3,) * len(benchmark), 32, "made by the user")
    clients = known.clients if clients is None else tuple(clients) if isinstance(clients, Iterable) else ()
    require(len(clients) == len(known.domains), f"clients must give a number for each of the {len(known.domains)} domains.")
    clients = tuple(require_whole("clients of a domain", count, 1) for count in clients)
    alpha, native = require_number("alpha", alpha, 0.01, np.inf), require_flag("native", native)
    require(
        imagenet is None or isinstance(imagenet, (str, os.PathLike)), f"imagenet is {shown(imagenet)}, but must be the path of a folder."
    )
    require(not (native and image_size is not None), "native keeps each data set's image size, so it cannot go with image_size.")
    size = None if native else require_whole("image_size", known.image_size if image_size is None else image_size, 4, MOST_PIXELS)
    for name, value in {"train_size": train_size, "test_size": test_size}.items():
        if value is not None:
            require_whole(name, value, 1)
    seed = require_whole("seed", seed, 0)
    parts = [_domain(name, known, imagenet, size, root) for name in known.domains]
    native_sizes = tuple(NOMINAL_SIZE.get(name, part.shape[1]) for name, part in zip(known.domains, parts))
    parts = parts if size is None else [part.resized(size) for part in parts]
    shared = [name for name in parts[0].classes if all(name in part.classes for part in parts)]
    lost = set(imagenet_classes(known.domains[0])) - set(shared) if "imagenet" in known.domains else set()
    require(not lost, f"the class map names {', '.join(sorted(lost)[:3])}, which {known.domains[0]} does not have.")
    require(len(shared) > 1, "the data sets share fewer than two class names: give them the same names for the same classes.")
    parts = [_subset(part, shared, train_size, test_size, seed) for part in parts]
    splits, tests, domain_of, train_start, test_start = [], [], [], 0, 0
    for number, (part, count) in enumerate(zip(parts, clients)):
        split = partition.dirichlet(part.train.labels, count, alpha, seed + number)
        splits += [train_start + indices for indices in split.indices]
        tests += [test_start + indices for indices in _test_shares(split, part, seed + number)]
        domain_of += [number] * count
        train_start, test_start = train_start + len(part.train), test_start + len(part.test)
    joined = _joined(parts, tuple(shared), f"{' + '.join(SYNTHETIC.get(name, name) for name in known.domains)}")
    joined_clients = Partition(tuple(splits), "real-noniid", {"domains": len(parts), "alpha": alpha, "seed": seed})
    return Domains(
        joined, joined_clients, tuple(SYNTHETIC.get(name, name) for name in known.domains), np.array(domain_of), tuple(tests), native_sizes
    )


def imagenet_classes(dataset: str) -> dict[str, list[str]]:
    """Shared class to the folders (WordNet numbers) of ImageNet that we count as it, for ``cifar10`` or ``cifar100``."""
    table = _class_map()
    require_choice("dataset", dataset, sorted(set(table.dataset)))
    return {str(name): rows.wnid.tolist() for name, rows in table[table.dataset == dataset].groupby("class", sort=False)}


@functools.cache
def _class_map() -> pd.DataFrame:
    return pd.read_csv(pathlib.Path(__file__).parent / "imagenet_classes.csv")


def _domain(name: str, known: Benchmark, imagenet: str | None, size: int | None, root) -> Dataset:
    """One domain's data set, ImageNet's folders merged into the shared classes and its images, which differ in size, made equal."""
    if name != "imagenet":
        return load_data(name, root=root, image_size=size if name.startswith("folder:") else None)
    require(
        imagenet is not None, "this benchmark needs ImageNet: pass imagenet='/path' with train/<n01440764>/ and val/<n01440764>/ in it."
    )
    merged = imagenet_classes(known.domains[0])
    folders = [wnid for wnids in merged.values() for wnid in wnids]
    data = load_data(f"folder:{imagenet}", image_size=size or NOMINAL_SIZE["imagenet"], classes=folders)
    numbers = torch.tensor([number for number, wnids in enumerate(merged.values()) for _ in wnids])
    train, test = (dataclasses.replace(split, labels=numbers[split.labels]) for split in (data.train, data.test))
    return dataclasses.replace(data, name="imagenet", train=train, test=test, classes=tuple(merged))


def _subset(data: Dataset, classes: list[str], train_size: int | None, test_size: int | None, seed: int) -> Dataset:
    """The shared classes only, and at most so many examples."""
    data = data.only_classes(classes)
    return data.sample(
        train_size and min(train_size, len(data.train)),
        test_size and min(test_size, len(data.test)),
        seed,
    )


def _test_shares(split: Partition, data: Dataset, seed: int) -> list[np.ndarray]:
    """Test indices of each client: every class is cut in the proportions that its training examples have.

    Test images of a class that nobody trains on, as can be with few examples, are nobody's.
    """
    rng, labels = np.random.default_rng([seed, Stream.DOMAIN_TESTS]), data.test.labels.numpy()
    counts = split.counts(data.train.labels.numpy())
    shares = [[] for _ in split.indices]
    for label in np.flatnonzero(counts.sum(axis=0)):
        members = rng.permutation(np.flatnonzero(labels == label))
        bounds = np.round(np.cumsum(counts[:, label]) / counts[:, label].sum() * len(members)).astype(int)
        for client, piece in enumerate(np.split(members, bounds[:-1])):
            shares[client].append(piece)
    return [np.sort(np.concatenate(pieces)) for pieces in shares]


def _joined(parts: Sequence[Dataset], classes: tuple[str, ...], name: str) -> Dataset:
    """All domains one after the other, with as many channels as the most colourful and as much room as the largest needs."""
    channels = max(part.shape[0] for part in parts)
    side = max(max(part.shape[1:]) for part in parts)
    coloured = [[split.images.expand(-1, channels, -1, -1) for split in (part.train, part.test)] for part in parts]
    mean, std = pixel_statistics([train for train, _ in coloured])
    splits = []
    for place, which in enumerate(("train", "test")):
        images = torch.cat([_padded(pair[place], side) for pair in coloured])
        labels = torch.cat([getattr(part, which).labels for part in parts])
        sides = torch.cat([torch.full((len(pair[place]),), part.shape[1]) for pair, part in zip(coloured, parts)])
        splits.append(Split(images, labels, sides if len(sides.unique()) > 1 else None))
    train, test = splits
    return Dataset(name, train, test, classes, mean, std)


def _padded(images: torch.Tensor, side: int) -> torch.Tensor:
    height, width = images.shape[-2:]
    require(height == width, f"images are {height} x {width} pixels, but domains of their native size need square ones: pass image_size.")
    return torch.nn.functional.pad(images, (0, side - width, 0, side - height))
