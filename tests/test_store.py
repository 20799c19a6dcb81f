import concurrent.futures
import dataclasses
import errno
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import fucore as fu
from fucore import __main__ as command
from fucore.federation import rounds
from fucore.federation.models import build
from fucore.runs import entries
from fucore.runs.store import Store

TRAIN = """
import sys, fucore as fu, fucore.federation.rounds as rounds
rounds.CHECKPOINT_SECONDS = 0.0
data = fu.load("digits")
fed = fu.Federation(data, fu.partition.iid(data.train.labels, 4), "cnn", fu.LocalTraining(epochs=2, batch=16), store=fu.Store(sys.argv[1]))
print("started", flush=True)
run = fed.train(25, seed=1)
print(run.key)
"""


def test_an_equal_run_is_returned_not_trained(stored, monkeypatch):
    first = stored.train(2, seed=1)
    monkeypatch.setattr(rounds, "train", lambda *_: pytest.fail("trained again"))
    again = stored.train(2, seed=1)
    assert torch.equal(again.weights, first.weights) and again.history == first.history and again.cost == first.cost
    assert again.federation is stored


@pytest.mark.parametrize(
    "change",
    [
        {"server": fu.FedAvg("size")},
        {"precision": "bf16"},
        {"local": fu.LocalTraining(epochs=1, batch=63)},
        {"preprocessing": fu.Preprocessing(augment=True)},
        {"model": "mlp"},
        {"participation": 0.5},
    ],
)
def test_whatever_changes_the_result_changes_the_key(stored, change):
    keys = {stored.train(1).key, dataclasses.replace(stored, **change).train(1).key}
    keys |= {
        stored.train(1, seed=1).key,
        stored.train(2).key,
        stored.train(1, start=stored.initial_weights(0)).key,
        stored.without(fu.forget.client(0)).train(1).key,
    }
    assert len(keys) == 6
    assert dataclasses.replace(stored, workers=2).train(1).key in keys


def test_hooks_are_told_apart_by_what_they_compute(stored):
    def scaled(factor):
        return fu.Hooks(gradient=lambda step: step.gradient.mul_(factor))

    one, same, other = (stored.train(1, hooks=scaled(factor)) for factor in (0.5, 0.5, 2.0))
    assert one.key == same.key != other.key
    defaulted = [stored.train(1, hooks=fu.Hooks(gradient=lambda step, by=by: step.gradient.mul_(by))).key for by in (0.5, 2.0)]
    two = (lambda step: step.gradient.mul_(0.5), lambda step: step.gradient.mul_(2.0))  # fmt: skip
    assert len({*defaulted, *(stored.train(1, hooks=fu.Hooks(gradient=each)).key for each in two)}) == 4
    opaque = threading.Lock()
    with pytest.warns(UserWarning, match="will not be kept in the store"):
        assert stored.train(1, hooks=fu.Hooks(gradient=lambda step: opaque)).key is None
    with pytest.raises(fu.FucoreError, match="record_updates needs"):
        stored.train(1, hooks=fu.Hooks(gradient=lambda step: opaque), record_updates=True)


def test_models_are_told_apart_by_what_their_factory_closes_over(digits, tmp_path):
    def scaled(by):
        def factory(shape, classes):
            module = build("mlp", shape, classes, seed=0)
            with torch.no_grad():
                module[1].weight.mul_(by)
            return module

        return factory

    clients = fu.partition.iid(digits.train.labels, 2)
    assert len({fu.Federation(digits, clients, scaled(by), store=Store(tmp_path)).train(1).key for by in (0.5, 1.0)}) == 2


def test_a_run_does_not_depend_on_data_that_no_client_holds(stored):
    """Altering only what is forgotten leaves the retrained run's key, hence its bits, as they were."""
    request = fu.forget.client(1)
    altered = fu.plant(stored.data, stored.clients.indices[1], share=0.5)
    assert dataclasses.replace(stored, data=altered).without(request).train(1).key == stored.without(request).train(1).key
    assert dataclasses.replace(stored, data=altered).train(1).key != stored.train(1).key


@pytest.mark.parametrize("name", ["weights.safetensors", "run.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_is_noticed_set_aside_and_mended(stored, name, damage):
    good = stored.train(1)
    path = stored.store._entry(good.key) / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.warns(UserWarning, match="a stored run is damaged"):
        again = stored.train(1)
    assert torch.equal(again.weights, good.weights)
    assert len(list((stored.store.root / "damaged").iterdir())) == 1 and stored.store.get(good.key) is not None


def test_an_interrupted_run_resumes_to_the_same_bits(stored, interrupt):
    whole = dataclasses.replace(stored, store=None).train(4, seed=2)
    begun = interrupt()
    with pytest.raises(KeyboardInterrupt):
        stored.train(4, seed=2)
    resumed = stored.train(4, seed=2)
    assert len(begun) == 5, "two rounds, the interrupted third, then the third and fourth"
    assert torch.equal(resumed.weights, whole.weights)
    assert [{key: row[key] for key in row if key != "seconds"} for row in resumed.history] == [
        {key: row[key] for key in row if key != "seconds"} for row in whole.history
    ]
    assert not stored.store.checkpoint_folder(resumed.key).exists()


def test_a_damaged_checkpoint_is_ignored(stored, monkeypatch):
    run = stored.train(2)
    key = "ab" * 32
    stored.store.save_checkpoint(key, {"weights": run.weights}, {"history": [], "cost": dataclasses.asdict(run.cost), "done": 1})
    path = stored.store.checkpoint_folder(key) / "checkpoint.safetensors"
    assert stored.store.load_checkpoint(key)[1]["done"] == 1
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        assert stored.store.load_checkpoint(key) is None


@pytest.mark.long
def test_kill_9_at_any_moment_loses_nothing(tmp_path):
    def start(folder):
        return subprocess.Popen([sys.executable, "-c", TRAIN, str(folder)], stdout=subprocess.PIPE, text=True)

    calm = start(tmp_path / "calm")
    expected = fu.Store(tmp_path / "calm")
    key = calm.communicate(timeout=120)[0].split()[-1]
    rng = random.Random(0)
    for _ in range(3):
        victim = start(tmp_path / "killed")
        victim.stdout.readline()
        time.sleep(rng.uniform(0.05, 1.0))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    survivor = start(tmp_path / "killed")
    assert survivor.communicate(timeout=120)[0].split()[-1] == key
    assert torch.equal(fu.Store(tmp_path / "killed").get(key).weights, expected.get(key).weights)


@pytest.mark.long
def test_processes_share_a_store(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        outputs = list(
            pool.map(lambda _: subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path)], capture_output=True, text=True), range(3))
        )
    assert {output.returncode for output in outputs} == {0}, outputs
    keys = {output.stdout.split()[-1] for output in outputs}
    assert len(keys) == 1 and fu.Store(tmp_path).keys() == list(keys)
    assert fu.Store(tmp_path).get(keys.pop()) is not None and not list((tmp_path / "tmp").iterdir())


@pytest.mark.long
def test_a_full_disk_costs_the_cache_not_the_result(tmp_path):
    """A real limit on file size, in a process of its own: the run comes back, with a warning, and nothing half-written stays."""
    code = """
import resource, signal, sys, warnings, fucore as fu
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
data = fu.load("digits")
fed = fu.Federation(data, fu.partition.iid(data.train.labels, 2), store=fu.Store(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    run = fed.train(1)
print(run.rounds, len(fed.store.keys()), len(list((fed.store.root / "tmp").iterdir())), [str(w.message) for w in seen])
"""
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert result.stdout.startswith("1 0 0 ") and "free some space" in result.stdout, result.stderr


@pytest.mark.parametrize("number", [np.int64(3), np.float32(0.5), np.array([1, 2]), torch.tensor([1.0])])
def test_numpy_and_torch_numbers_are_kept_like_any_other(stored, number):
    """A finished run must never be lost because of the type of a number that came with it."""
    run = stored.train(1, seed=np.int64(2))
    shutil.rmtree(stored.store._entry(run.key))
    stored.store.put(dataclasses.replace(run, log={"number": number, 7: [number]}, cost=dataclasses.replace(run.cost, stored=np.int64(5))))
    again = stored.store.get(run.key)
    assert again.log == {"number": number.tolist(), "7": [number.tolist()]} and again.cost.stored == 5


def test_a_read_only_store_is_still_read(stored, monkeypatch):
    run = stored.train(1)
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system")))
    assert torch.equal(stored.train(1).weights, run.weights)


def test_client_updates_stream_to_disk(stored):
    run = stored.train(3, record_updates=True)
    assert stored.updates(run, 3).shape == (4, run.weights.numel())
    assert run.cost.stored == run.cost.uploaded
    assert stored.updates(stored.train(3, record_updates=True), 1).shape == (4, run.weights.numel())
    with pytest.raises(fu.FucoreError, match="round is 4"):
        stored.updates(run, 4)
    early = stored.train(30, until=0.5, record_updates=True)
    assert early.rounds < 30 and stored.store.get(early.key) is not None and len(stored.updates(early, early.rounds)) == 4


def test_weights_are_safetensors_and_nothing_is_pickled(stored):
    stored.train(1)
    assert {path.suffix for path in stored.store.root.rglob("*") if path.is_file()} == {".safetensors", ".json"}


def test_size_prune_and_command_line(stored, monkeypatch, capsys):
    stored.train(1)
    assert stored.store.size() > 4 * stored.layout.size
    assert stored.store.prune(days=1) == 0 and len(stored.store.keys()) == 1
    monkeypatch.setenv("FUCORE_STORE", str(stored.store.root))
    command.main([])
    assert "1 runs" in capsys.readouterr().out
    command.main(["prune", "--days", "0"])
    assert "freed" in capsys.readouterr().out and stored.store.keys() == []
    with pytest.raises(fu.FucoreError, match="days is -1"):
        stored.store.prune(days=-1)


def test_default_place_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("FUCORE_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fu.Store().root == pathlib.Path(tmp_path / "fucore" / "store")
    assert os.environ.get("FUCORE_STORE") is None


@pytest.fixture
def decoy(ordinary):
    """A store beside a folder that is none of its business, with other things inside it too; never worked in with root's rights."""
    return _decoy(ordinary)


def _decoy(folder):
    store, outside = Store(folder / "store"), folder / "outside"
    for folder in (
        outside / "runs",
        store.root / "runs" / "ab" / "thesis",
        store.root / "runs" / "ab" / ("ab" * 32 + ".bak"),
        store.root / "tmp" / "mine",
    ):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        (folder / "precious.txt").write_text("precious")
    return store, outside


@pytest.fixture
def unkept(decoy, digits):
    """A federation whose runs go to the decoy's store."""
    return fu.Federation(digits, fu.partition.iid(digits.train.labels, 4), local=fu.LocalTraining(epochs=1, batch=64), store=decoy[0])


def everything(folder):
    return sorted((str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "key", ["", ".", "..", "/", "ab", "AB" * 32, "ab" * 32 + "\n", "../" * 21 + "a", "outside", "ab" * 32 + "/..", 7, None, b"ab" * 32]
)
def test_only_keys_are_looked_up(decoy, key):
    store, outside = decoy
    keys = [key, str(outside), f"../../../{outside.name}"] if key == "" else [key]
    before = everything(store.root.parent)
    for key in keys:
        for call in (
            store.get,
            store.row,
            store.checkpoint_folder,
            store.load_checkpoint,
            store.drop_checkpoint,
            lambda key: store.updates(key, 1),
            lambda key: store.put_row(key, {}),
            lambda key: store.save_checkpoint(key, {"weights": torch.zeros(1)}, {}),
            lambda key: store.writing_updates(key, 1, 1, 1).__enter__(),
        ):
            with pytest.raises(fu.FucoreError, match="no key of a run"):
                call(key)
    assert everything(store.root.parent) == before


def test_only_its_own_entries_are_counted_and_pruned(decoy, unkept):
    store, outside = decoy
    before = everything(store.root.parent)
    assert store.keys() == [] and store.size() == 0 and store.prune(days=0) == 0
    run = unkept.train(1)
    store.put_row("cd" * 32, {"a": 1})
    store.save_checkpoint("cd" * 32, {"weights": run.weights}, {})
    assert store.keys() == [run.key] and store.prune(days=0) > 0 and store.size() == 0 and store.keys() == []
    assert store.row("cd" * 32) is None and store.load_checkpoint("cd" * 32) is None
    assert everything(store.root.parent) == before


@pytest.mark.parametrize("where", ["runs", "runs/ab", "entry", "file"])
def test_links_are_not_followed(decoy, unkept, where):
    """What lies behind a link is neither read, nor moved aside, nor removed."""
    store, outside = decoy
    run = unkept.train(1)
    entry = store._entry(run.key)
    link = {"runs": entry.parents[1], "runs/ab": entry.parent, "entry": entry, "file": entry / "weights.safetensors"}[where]
    os.rename(link, outside / "moved")
    link.symlink_to(outside / "moved")
    before = everything(outside)
    if where == "file":
        with pytest.warns(UserWarning, match="holds links"):
            assert store.get(run.key) is None
    else:
        with pytest.raises(fu.FucoreError, match="behind a link"):
            store.get(run.key)
        assert store.keys() == []
    store.prune(days=0)
    assert everything(outside) == before
    assert link.is_symlink() or where == "file"


def test_a_store_may_itself_lie_behind_a_link(stored, tmp_path):
    (tmp_path / "link").symlink_to(stored.store.root, target_is_directory=True)
    run = stored.train(1)
    assert torch.equal(Store(tmp_path / "link").get(run.key).weights, run.weights)


@pytest.mark.parametrize(
    "files", [{}, {"../../../../outside/run.json": "0"}, {"/etc/hostname": "0"}, ["weights.safetensors"], "weights.safetensors", None]
)
def test_an_entry_that_names_other_files_is_set_aside_unread(stored, files):
    """Entries may come from strangers."""
    run = stored.train(1)
    path = stored.store._entry(run.key) / "run.json"
    body = {**json.loads(path.read_text())["body"], "files": files}
    path.write_text(json.dumps({"sha256": entries.digest(body), "body": body}))
    with pytest.warns(UserWarning, match="a stored run is damaged"):
        assert stored.store.get(run.key) is None


def test_a_leftover_of_a_killed_recording_does_not_keep_the_next_from_being_kept(stored):
    run = stored.train(2, record_updates=True)
    shutil.rmtree(stored.store._entry(run.key))
    leftover = stored.store.checkpoint_folder(run.key) / "updates" / "000001.safetensors.0123abcd"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    again = stored.train(2, record_updates=True)
    assert stored.store.get(again.key) is not None and len(stored.updates(again, 2)) == 4


def test_updates_of_a_run_that_could_not_be_kept_can_still_be_read(stored, monkeypatch):
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.warns(UserWarning, match="could not be kept"):
        run = stored.train(2, record_updates=True)
    assert stored.updates(run, 2).shape == (4, run.weights.numel())
