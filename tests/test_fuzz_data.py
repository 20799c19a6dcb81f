"""Whatever is passed to the data side, the answer is right, or there is one sentence.

``FUCORE_FUZZ=1000 pytest tests/test_fuzz_data.py`` tries that many examples of each instead of a few that are always the same.
"""

import dataclasses
import decimal
import json
import os
import pathlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fucore as fu
from fucore.data.sources import SOURCES, TORCHVISION

EXAMPLES = int(os.environ.get("FUCORE_FUZZ", "0"))
fuzzed = settings(
    max_examples=EXAMPLES or 25, derandomize=not EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

LABELS = np.arange(24) % 3
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 1, 4, 4), dtype=np.uint8)
SPLIT = fu.Split(PIXELS, LABELS)
DATA = fu.Dataset("fuzzed", SPLIT, SPLIT.take(np.arange(6)), ("a", "b", "c"), (100.0,), (50.0,))
PARTITION = fu.partition.iid(LABELS, 4)


@dataclasses.dataclass
class Hostile:
    """An object that lets itself be asked nothing."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __array__(self, *args, **keywords):
        raise RuntimeError("no array")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    def __hash__(self):
        raise RuntimeError("no hash")


SCALARS = st.one_of(
    st.builds(Hostile),
    st.builds(pow, st.just(10), st.just(5000)),
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.integers(),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**30, 10**400]),
    st.floats(),
    st.floats(0, 1),
    st.sampled_from([0.01, 0.5, 1.0, 2.0, 1e308]),
    st.text(max_size=5),
    st.sampled_from(["a", "adam", "sgd", "cosine", "iid", "first", "last", "mislabel", "corrupt", "digits", "1", "line\nbreak"]),
    st.binary(max_size=4),
    st.sampled_from([1j, decimal.Decimal(3), ..., object(), int, len, np.nan, np.float32(0.5), np.int8(3), np.uint64(2**64 - 1)]),
    st.sampled_from([np.bool_(True), np.str_("a"), np.datetime64("2020-01-01"), np.timedelta64(3, "s"), np.float16(np.inf)]),
    st.sampled_from([torch.tensor(2), torch.tensor(0.5), torch.tensor(True), torch.tensor([3]), torch.tensor([1, 2])]),
)
DTYPES = ["?", "i1", "i2", "i8", "u1", "u2", "u8", ">i4", "f2", "f4", "f8", "c8", "U2", "S2", "M8[s]", "m8[s]", "O", "V3"]


def filled(dtype, shape, seed):
    values = np.random.default_rng(seed).integers(0, 24, shape)
    return values.astype("i8").view("V8") if dtype == "V3" else values.astype(dtype)


ARRAYS = st.builds(
    filled,
    st.sampled_from(DTYPES),
    st.sampled_from([(), (0,), (1,), (3,), (24,), (23,), (25,), (24, 1), (2, 3), (24, 4, 4), (24, 1, 4, 4), (24, 3, 4, 3), (24, 0, 4, 4)]),
    st.integers(0, 9),
)
TENSORS = st.builds(
    lambda dtype, shape: torch.arange(int(np.prod(shape))).reshape(shape).to(dtype),
    st.sampled_from([torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.bfloat16, torch.complex64]),
    st.sampled_from([(), (0,), (3,), (24,), (25,), (6, 4), (24, 1, 4, 4)]),
)
LISTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=8)
INDICES = st.lists(st.integers(0, 23), max_size=8) | st.lists(st.booleans(), min_size=24, max_size=24) | st.lists(st.booleans(), max_size=5)
HELD = st.lists(st.integers(0, 23), unique=True, max_size=8).flatmap(
    lambda held: st.sampled_from([held, tuple(held), np.array(held, "i8")])
)
ODD = st.one_of(
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sets(st.integers(0, 9), max_size=3),
    st.sampled_from([range(3), iter([1, 2]), np.ma.array([1, 2, 3], mask=[0, 1, 0]), pathlib.Path("x")]),
)
ANYTHING = st.one_of(SCALARS, LISTS, ARRAYS, TENSORS, INDICES, ODD)


def mostly(*good):
    """One of ``good`` four times out of five, and else anything: with several arguments, right answers must not become rare."""
    return st.sampled_from([st.one_of(*good)] * 4 + [ANYTHING]).flatmap(lambda strategy: strategy)


def whole(low, high):
    return mostly(st.integers(low, high), st.builds(np.int64, st.integers(low, high)))


def tried(act):
    """What ``act()`` returns; ``None`` where it says in one sentence why not.  Anything else fails the test."""
    try:
        return act()
    except fu.FucoreError as error:
        text = str(error)
        assert len(text.splitlines()) == 1 and text.endswith("."), text
        return None


def named(which, mask_length=24):
    """The places that indices or a mask name, or ``None`` where they are neither: written anew, and naively."""
    values = which.tolist() if isinstance(which, (np.ndarray, torch.Tensor)) else list(which)
    if values and all(type(value) is bool or isinstance(value, np.bool_) for value in values):
        return [place for place, value in enumerate(values) if value] if len(values) == mask_length else None
    return [int(value) for value in values]


@fuzzed
@given(
    st.sampled_from(["iid", "dirichlet", "one_class_per_client", "shards", "overlapping"]),
    mostly(st.just(LABELS), st.lists(st.integers(0, 5), min_size=1, max_size=30)),
    whole(1, 8),
    mostly(st.none(), st.floats(0.01, 10), st.integers(0, 4)),
    whole(0, 5),
)
def test_partitions(kind, labels, clients, extra, seed):
    makers = {
        "iid": lambda: fu.partition.iid(labels, clients, seed),
        "dirichlet": lambda: fu.partition.dirichlet(labels, clients, extra, seed),
        "one_class_per_client": lambda: fu.partition.one_class_per_client(labels, clients, seed),
        "shards": lambda: fu.partition.shards(labels, clients, extra, seed),
        "overlapping": lambda: fu.partition.overlapping(labels, clients, extra, seed),
    }
    made = tried(makers[kind])
    if made is None:
        return
    assert len(made) == int(clients) and all(array.dtype == np.int64 and (np.diff(array) > 0).all() for array in made.indices)
    if kind != "overlapping":
        assert np.array_equal(np.sort(np.concatenate(made.indices)), np.arange(len(labels))) and made.leak_audit().disjoint
    assert made.counts(labels).sum() == made.sizes.sum()
    if kind == "one_class_per_client":
        assert ((made.counts(labels) > 0).sum(axis=1) <= 1).all()


@fuzzed
@given(mostly(st.lists(mostly(HELD), min_size=1, max_size=3)), mostly(st.just("mine")), mostly(st.just({})))
def test_partitions_by_hand(indices, name, parameters):
    made = tried(lambda: fu.Partition(indices, name, parameters))
    if made is None:
        return
    for mine, given_ in zip(made.indices, indices):
        assert mine.tolist() == sorted(named(given_))
        assert not any(isinstance(each, (bool, np.bool_)) for each in given_), "a mask was taken for indices"
    tried(lambda: made.counts(LABELS))
    tried(lambda: made.leak_audit(PIXELS))


@fuzzed
@given(mostly(st.just(PIXELS)))
def test_leak_audits(images):
    audit = tried(lambda: PARTITION.leak_audit(images))
    assert audit is None or ((audit.by_index == 0).all() and (images is None or len(audit.by_pixels) == 4))


@fuzzed
@given(
    st.sampled_from(["client", "clients", "classes", "class_of_client", "examples", "Request"]),
    st.one_of(whole(0, 3), INDICES),
    st.one_of(whole(0, 3), INDICES),
    mostly(st.just(LABELS)),
)
def test_requests(kind, first, second, labels):
    makers = {
        "client": lambda: fu.forget.client(first),
        "clients": lambda: fu.forget.clients(first, second),
        "classes": lambda: fu.forget.classes(first),
        "class_of_client": lambda: fu.forget.class_of_client(first, second),
        "examples": lambda: fu.forget.examples(first),
        "Request": lambda: fu.Request(first, second),
    }
    request = tried(makers[kind])
    mask = None if request is None else tried(lambda: request.mask(labels, PARTITION))
    if mask is None:
        return
    assert mask.dtype == bool and mask.any() and len(mask) == len(labels)
    expected = np.isin(np.arange(len(labels)), np.concatenate(PARTITION.indices))
    for number, condition in enumerate((request.clients, request.classes)):
        if condition is not None:
            held = [np.isin(np.arange(len(labels)), PARTITION.indices[client]) for client in condition] if number == 0 else None
            expected &= np.any(held, axis=0) if held else np.isin(np.asarray(labels), condition)
    if request.examples is not None:
        expected &= np.isin(np.arange(len(labels)), request.examples)
        assert kind != "examples" or np.ndim(first) == 0 or set(named(first, len(labels))) == set(request.examples)
    assert np.array_equal(mask, expected)
    kept = tried(lambda: request.retained(labels, PARTITION))
    if kept is not None:
        assert sorted(np.concatenate(kept.indices).tolist()) == [i for i in sorted(np.concatenate(PARTITION.indices)) if not mask[i]]


@fuzzed
@given(
    mostly(INDICES),
    mostly(st.floats(0.1, 1)),
    mostly(st.sampled_from(["mislabel", "corrupt"])),
    whole(0, 3),
)
def test_indices_of_data_sets(which, share, kind, seed):
    taken = tried(lambda: SPLIT.take(which))
    if taken is not None:
        assert taken.labels.tolist() == [int(LABELS[place]) for place in named(which)]
    blank = tried(lambda: DATA.without(which))
    if blank is not None:
        assert set((blank.train.labels == -1).nonzero()[:, 0].tolist()) == set(named(which))
    planted = tried(lambda: fu.plant(DATA, which, share=share, kind=kind, seed=seed))
    if planted is not None:
        marked = np.flatnonzero(planted.planted).tolist()
        same = (planted.train.labels == SPLIT.labels) & (planted.train.images == SPLIT.images).flatten(1).all(1)
        assert set(marked) <= set(named(which)) and marked == (~same).nonzero()[:, 0].tolist()
        assert len(marked) == round(float(share) * len(named(which))) > 0


@fuzzed
@given(
    st.one_of(st.none(), whole(1, 24)),
    st.one_of(st.none(), whole(1, 6)),
    whole(0, 5),
    mostly(st.lists(st.sampled_from("abc"), max_size=3)),
    mostly(st.integers(1, 9), st.sampled_from([10**6, 65_535])),
)
def test_parts_of_data_sets(train_size, test_size, seed, classes, size):
    part = tried(lambda: DATA.sample(train_size, test_size, seed))
    if part is not None:
        assert len(part.train) == (24 if train_size is None else int(train_size)) and part.mean == DATA.mean
    few = tried(lambda: DATA.only_classes(classes))
    if few is not None:
        assert few.classes == tuple(classes) and len(few.train) == 8 * len(few.classes)
        assert torch.equal(few.train.images[few.train.labels == 1], SPLIT.images[SPLIT.labels == "abc".index(classes[1])])
    if not (isinstance(size, int) and 300 < size < 60_000):
        resized = tried(lambda: DATA.resized(size))
        assert resized is None or resized.shape == (1, int(size), int(size))


GOOD_IMAGES = st.sampled_from([PIXELS, PIXELS[:, 0], PIXELS.transpose(0, 2, 3, 1), torch.from_numpy(PIXELS), np.repeat(PIXELS, 3, 1)])


@fuzzed
@given(
    mostly(GOOD_IMAGES, GOOD_IMAGES),
    mostly(st.just(LABELS), st.just(LABELS.tolist())),
    mostly(st.none(), st.just(["x", "y", "z"])),
    mostly(st.none(), st.sampled_from(["first", "last"])),
    mostly(st.just("mine")),
)
def test_arrays(x, y, classes, channels, name):
    made = tried(lambda: fu.from_arrays(x, y, x, y, classes=classes, channels=channels, name=name))
    if made is not None:
        given_ = np.asarray(x)
        assert given_.dtype == np.uint8 and made.train.labels.tolist() == np.asarray(y).tolist()
        assert sorted(made.train.images[5].flatten().tolist()) == sorted(given_[5].ravel().tolist()) and made.shape[0] in (1, 3)


@fuzzed
@given(
    mostly(st.just(PIXELS)),
    mostly(st.just(LABELS)),
    mostly(st.none()),
    st.fixed_dictionaries(
        {},
        optional={key: ANYTHING for key in ("name", "train", "test", "classes", "mean", "std", "planted")},
    ),
)
def test_splits_and_data_sets(images, labels, sides, fields):
    split = tried(lambda: fu.Split(images, labels, sides))
    if split is not None:
        assert (
            split.images.dtype == torch.uint8 and split.images.ndim == 4 and split.labels.dtype == torch.int64 and len(split) == len(labels)
        )
        made = tried(lambda: fu.Dataset("fuzzed", split, split, ("a", "b", "c"), (1.0,), (1.0,)))
        assert made is None or (0 <= int(made.train.labels.min()) and int(made.train.labels.max()) < 3)
    changed = tried(lambda: dataclasses.replace(DATA, **fields))
    if changed is not None:
        assert len(changed.mean) == len(changed.std) == 1 and all(np.isfinite(changed.mean + changed.std)) and len(set(changed.classes)) > 2


@pytest.fixture(scope="module", autouse=True)
def small_source():
    SOURCES["fuzzed"] = lambda folder: (PIXELS, LABELS, PIXELS[:6], LABELS[:6], None)
    yield
    del SOURCES["fuzzed"]


@fuzzed
@given(
    mostly(st.just("fuzzed"), st.just("fuzzed"), st.builds("{}:{}".format, st.sampled_from(["npz", "folder"]), st.text(max_size=9))),
    st.fixed_dictionaries(
        {},
        optional={
            **{name: mostly(st.integers(3, 6)) for name in ("train_size", "test_size", "image_size", "seed")},
            "classes": mostly(st.permutations("012")),
            "root": mostly(st.just("/nowhere")),
        },
    ),
)
def test_loading(name, options):
    if isinstance(options.get("image_size"), int) and 300 < options["image_size"] < 60_000:
        return
    if isinstance(name, str) and name in TORCHVISION:
        return
    data = tried(lambda: fu.load(name, **options))
    if data is not None:
        assert name in ("fuzzed", "digits") and isinstance(data, fu.Dataset)
        assert options.get("train_size") is None or len(data.train) == int(options["train_size"])
        assert options.get("image_size") is None or data.shape == (1, int(options["image_size"]), int(options["image_size"]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@fuzzed
@given(
    st.dictionaries(st.sampled_from(["format", "data", "data_sha256", "name", "parameters", "indices"]), JSON, max_size=2),
    ANYTHING,
    ANYTHING,
)
def test_published_splits(tmp_path_factory, change, path, data):
    file = tmp_path_factory.getbasetemp() / "fuzzed.json"
    PARTITION.save(file, DATA)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    read = tried(lambda: fu.Partition.load(file, DATA))
    if read is not None:
        assert np.concatenate(read.indices).max() < 24 and (read.hash == PARTITION.hash or "indices" in change)
    tried(lambda: fu.Partition.load(path, DATA))
    tried(lambda: PARTITION.save(file, data))


COUNT, SHARE, FLAG, FUNCTION = st.integers(1, 99), st.floats(0.001, 1), st.booleans(), st.sampled_from([None, len, fu.load])
WELL = {
    fu.LocalTraining: {
        "epochs": COUNT,
        "batch": COUNT,
        "lr": SHARE,
        "momentum": SHARE,
        "weight_decay": SHARE,
        "decay": SHARE,
        "proximal": SHARE,
    }
    | {"optimizer": st.sampled_from(["adam", "sgd"]), "schedule": st.sampled_from(["constant", "cosine"])},
    fu.Preprocessing: {"normalise": FLAG, "augment": FLAG, "flip": FLAG, "resize": COUNT},
    fu.Hooks: {"loss": FUNCTION, "gradient": FUNCTION, "after": FUNCTION, "passes": COUNT},
}


@pytest.mark.parametrize("kind", list(WELL), ids=lambda kind: kind.__name__)
@fuzzed
@given(data=st.data())
def test_settings_of_training(kind, data):
    fields = data.draw(st.fixed_dictionaries({}, optional={name: mostly(good) for name, good in WELL[kind].items()}))
    made = tried(lambda: kind(**fields))
    if made is None:
        return
    for name, value in fields.items():
        kept, default = getattr(made, name), getattr(kind(), name)
        if kind is fu.Hooks and name != "passes":
            assert kept is value and (value is None or callable(value))
        else:
            assert kept == value and type(kept) in {type(default), int if name == "resize" else type(default)}
            assert not isinstance(kept, float) or (0 <= kept < np.inf)
