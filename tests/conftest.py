"""Shared fixtures: a store of this session's own, real data, and a federation that trains in a blink."""

import dataclasses
import os
import pathlib
import tempfile

# before fucore or a notebook's kernel starts: nothing is read from, or left in, the user's store; test processes side by side share one
os.environ.setdefault("FUCORE_TEST_STORE", tempfile.mkdtemp(prefix="fucore-test-store-"))
os.environ["FUCORE_STORE"] = os.environ["FUCORE_TEST_STORE"]
if (processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("FUCORE_WORKERS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the core to the other process
os.environ["FUCORE_PROGRESS"] = "0"
os.environ["FUCORE_RECORDING"] = "1"

import pytest  # noqa: E402

import fucore as fu  # noqa: E402


@pytest.fixture(scope="session")
def digits():
    return fu.load("digits")


@pytest.fixture(scope="session")
def mnist5k():
    return fu.load("mnist5k")


@pytest.fixture
def fed(digits):
    """Four uneven clients, a small network, nothing stored."""
    clients = fu.partition.dirichlet(digits.train.labels, 4, 1.0, seed=1)
    return fu.Federation(digits, clients, "cnn", fu.LocalTraining(epochs=1, batch=64), store=None, workers=1)


@pytest.fixture(scope="session")
def judged(digits):
    """(original, retrained, request) on the digits, trained once."""
    clients = fu.partition.dirichlet(digits.train.labels, 4, 1.0, seed=1)
    fed = fu.Federation(digits, clients, "cnn", fu.LocalTraining(epochs=2, batch=32))
    request = fu.forget.client(0)
    return fed.train(6, seed=0), fed.without(request).train_many(6, seeds=range(1, 5)), request


@pytest.fixture
def stored(fed, tmp_path):
    return dataclasses.replace(fed, store=fu.Store(tmp_path / "store"))


@pytest.fixture(scope="session")
def trained(digits, tmp_path_factory):
    """An original whose client updates were recorded: 5 uneven clients, 3 rounds."""
    clients = fu.partition.dirichlet(digits.train.labels, 5, 1.0, seed=1)
    store = fu.Store(tmp_path_factory.mktemp("methods"))
    return fu.Federation(digits, clients, "cnn", fu.LocalTraining(epochs=1, batch=64), store=store).train(3, seed=0, record_updates=True)


@pytest.fixture
def interrupt(monkeypatch):
    """A function after whose call training stops in its third round, once, with checkpoints after every round; it returns a list that
    grows by one with each round begun."""
    from fucore.federation import rounds

    def arm():
        monkeypatch.setattr(rounds, "CHECKPOINT_SECONDS", 0.0)
        real, begun = rounds.one_round, []

        def stops_once(*arguments):
            begun.append(1)
            if len(begun) == 3:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(rounds, "one_round", stops_once)
        return begun

    return arm


@pytest.fixture
def ordinary():
    """A folder of an ordinary user's, whose rights this process has meanwhile."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            if root:
                os.chown(folder, 65534, 65534)
                os.setegid(65534)
                os.seteuid(65534)
            yield pathlib.Path(folder).resolve()
        finally:
            for where, _, _ in os.walk(folder):
                os.chmod(where, 0o755)
            if root:
                os.seteuid(0)
                os.setegid(0)
