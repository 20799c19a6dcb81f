"""Whatever is passed to what trains, unlearns and judges, the answer is right, or there is one sentence.

``FUCORE_FUZZ=1000 pytest tests/test_fuzz_training.py`` tries that many examples of each; the data are 24 images of 4 x 4 pixels.
"""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_data import ANYTHING, DATA, PARTITION, fuzzed, mostly, tried, whole

import fucore as fu


def tame(value):
    """No number of rounds, models or passes that would be right and take for ever."""
    try:
        return not value > 4
    except Exception:
        return True


def few(*good):
    """As :func:`mostly`, of what is quick to do."""
    return mostly(*good).filter(tame)


NUMBER = mostly(st.floats(1e-4, 0.1), st.sampled_from([0, 0.0, 1e-3, np.float32(0.01)]))
SHARE = mostly(st.floats(0, 1), st.sampled_from([0, 1, 0.5, np.float64(0.3)]))
FLAG = mostly(st.booleans())


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """What cannot be kept, or divides by nothing, may be said in warnings; here only answers count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def federation(**options):
    return fu.Federation(DATA, PARTITION, "mlp", fu.LocalTraining(epochs=1, batch=8), **{"store": None, "workers": 1, **options})


@pytest.fixture(scope="module")
def case():
    return fu.case(federation(), fu.forget.client(0), rounds=1, retrained=3)


def is_a_run(run):
    assert run is None or (torch.isfinite(run.weights).all() and run.weights.dtype == torch.float32)


@fuzzed
@given(
    mostly(st.just(DATA)),
    mostly(st.just(PARTITION)),
    mostly(st.sampled_from(["mlp", "cnn"])),
    st.fixed_dictionaries(
        {},
        optional={
            "participation": SHARE,
            "device": mostly(st.just("cpu")),
            "precision": mostly(st.sampled_from(["fp32", "bf16"])),
            "workers": few(st.integers(1, 3)),
            "server": mostly(st.just(fu.FedAvg("size"))),
            "hooks": mostly(st.just(fu.Hooks())),
            "preprocessing": mostly(st.just(fu.Preprocessing(augment=True))),
            "local": mostly(st.just(fu.LocalTraining(epochs=1))),
        },
    ),
)
def test_federations(data, clients, model, options):
    local = options.pop("local", fu.LocalTraining(epochs=1, batch=8))
    fed = tried(lambda: fu.Federation(data, clients, model, local, store=None, **options))
    if fed is not None:
        is_a_run(tried(lambda: fed.train(1)))
        assert isinstance(tried(fed.explain), str | None)


@fuzzed
@given(
    few(st.integers(1, 2)),
    whole(0, 5),
    st.fixed_dictionaries(
        {},
        optional={
            "start": mostly(st.just(None)),
            "first_round": whole(0, 3),
            "horizon": mostly(st.integers(3, 6)),
            "until": SHARE,
            "hooks": mostly(st.just(None)),
            "evaluate_every": few(st.integers(1, 3)),
            "record_updates": mostly(st.just(False)),
            "keep": FLAG,
        },
    ),
)
def test_training(rounds, seed, options):
    is_a_run(tried(lambda: federation().train(rounds, seed, **options)))


@fuzzed
@given(few(st.just(2)), mostly(st.lists(st.integers(0, 9), min_size=1, max_size=2, unique=True)))
def test_many_trainings(rounds, seeds):
    runs = tried(lambda: federation(workers=2).train_many(rounds, seeds))
    assert runs is None or len(runs) == len(list(seeds))


CASE = None


@fuzzed
@given(mostly(st.sampled_from(sorted(fu.METHODS))), st.data())
def test_unlearning(name, data):
    global CASE
    CASE = CASE or fu.case(federation(), fu.forget.client(0), rounds=1, retrained=3)
    defaults = fu.METHODS[name].defaults if isinstance(name, str) and name in fu.METHODS else {"rounds": 1}
    chosen = {}
    for key, value in defaults.items():
        if data.draw(st.booleans(), label=key):
            same = st.booleans() if isinstance(value, bool) else st.integers(0, 3) if isinstance(value, int) else NUMBER
            chosen[key] = data.draw(few(same, st.just(value)), label=key)
        elif key in ("rounds", "recovery_rounds", "unlearn_rounds"):
            chosen[key] = 1
    is_a_run(tried(lambda: fu.unlearn(name, CASE, seed=data.draw(whole(0, 3)), **chosen)))


@fuzzed
@given(
    mostly(st.sampled_from(["client", "class", "examples"])),
    whole(0, 3),
    few(st.integers(1, 2)),
    few(st.integers(3, 4)),
    whole(0, 3),
)
def test_cases(kind, which, rounds, retrained, seed):
    makers = {"client": fu.forget.client, "class": fu.forget.classes, "examples": fu.forget.examples}
    request = tried(lambda: makers[kind](which)) if isinstance(kind, str) and kind in makers else kind
    made = tried(lambda: fu.case(federation(), request, rounds, retrained=retrained, seed=seed))
    assert made is None or len(made.retrained) == retrained


@fuzzed
@given(mostly(st.just("as it is")), mostly(st.sampled_from(["cross-fitted", "published"])), few(st.integers(1, 4)), whole(0, 3))
def test_comparisons(candidates, protocol, bootstrap, seed):
    global CASE
    CASE = CASE or fu.case(federation(), fu.forget.client(0), rounds=1, retrained=3)
    chosen = {"itself": CASE.retrained[0]} if isinstance(candidates, str) and candidates == "as it is" else candidates
    report = tried(lambda: fu.compare(chosen, CASE, protocol=protocol, bootstrap=bootstrap, seed=seed))
    assert report is None or len(report.table()) == len(chosen) + 2


WORK = mostly(st.just(lambda n=0: {"n": n}))


@fuzzed
@given(WORK, mostly(st.just({"n": [1, 2]}), st.just([{"n": 3}])), st.sampled_from([1, 1, 1, np.int64(1), 0, -1, 1.5, "two", True]))
def test_sweeps(work, points, jobs):
    swept = tried(lambda: fu.sweep(work, points, jobs=jobs, store=None))
    assert swept is None or len(swept.table) + len(swept.failures) > 0


@fuzzed
@given(ANYTHING, ANYTHING)
def test_measures(run, split):
    global CASE
    CASE = CASE or fu.case(federation(), fu.forget.client(0), rounds=1, retrained=3)
    tried(lambda: CASE.federation.evaluate(run, split))
    tried(lambda: CASE.federation.logits(run, DATA.test))
