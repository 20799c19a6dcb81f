"""The world around: full disks, missing rights, forks, other processes, sudden deaths."""

import concurrent.futures
import dataclasses
import errno
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
import torch

import fucore as fu
from fucore import __main__ as command
from fucore.federation import rounds

TROUBLE = [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EIO]
CURE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "get the right to write",
    errno.EROFS: "get the right to write",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EIO: "mend that",
}


def failing(number):
    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    return fails


@pytest.fixture
def own(fed, ordinary):
    return dataclasses.replace(fed, store=fu.Store(ordinary / "store"))


# ---- disks and rights


@pytest.mark.parametrize("number", TROUBLE)
@pytest.mark.parametrize("call", ["fsync", "replace", "rename", "mkdir"])
def test_a_run_that_cannot_be_kept_is_not_lost(stored, monkeypatch, call, number):
    monkeypatch.setattr(os, call, failing(number))
    with pytest.warns(UserWarning, match=f"could not be kept in .*{os.strerror(number)}.*{CURE[number]}"):
        run = stored.train(1)
    monkeypatch.undo()
    assert run.rounds == 1 and stored.store.keys() == []
    with pytest.warns(UserWarning, match="could not be kept"):
        monkeypatch.setattr(os, call, failing(number))
        fu.unlearn("fine-tune", run, fu.forget.client(0), rounds=1)


@pytest.mark.parametrize("number", TROUBLE)
def test_a_checkpoint_that_cannot_be_written_stops_nothing(stored, monkeypatch, number):
    monkeypatch.setattr(rounds, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.warns(UserWarning, match=f"no checkpoint could be written to .*{os.strerror(number)}"):
        assert stored.train(2).rounds == 2


@pytest.mark.parametrize("number", TROUBLE)
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_updates_that_cannot_be_written_are_told_at_once(stored, monkeypatch, call, number):
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(fu.FucoreError, match=f"updates of round 1 could not be written to .*{os.strerror(number)}.*{CURE[number]}"):
        stored.train(2, record_updates=True)


def test_an_error_of_the_training_is_not_taken_for_one_of_the_disk(stored):
    def reads(step):
        raise FileNotFoundError(2, "No such file or directory", "mine.txt")

    with pytest.raises(FileNotFoundError, match="mine.txt"):
        stored.train(1, record_updates=True, hooks=fu.Hooks(gradient=reads))


def test_updates_that_another_process_removed_are_told_when_training_ends(stored, monkeypatch):
    real = rounds.one_round

    def removes(*arguments):
        result = real(*arguments)
        for path in stored.store.root.glob("checkpoints/*/updates/000001.safetensors"):
            path.unlink()
        return result

    monkeypatch.setattr(rounds, "one_round", removes)
    with pytest.warns(UserWarning, match="another process removed it meanwhile.*its client updates are lost: train it again"):
        run = stored.train(2, record_updates=True)
    with pytest.raises(fu.FucoreError, match="updates of round 1 cannot be read"):
        stored.updates(run, 1)
    with pytest.raises(fu.FucoreError, match="updates of round 1 cannot be read"):
        fu.unlearn("federaser", run, fu.forget.client(0))


def test_another_process_may_finish_the_same_recording_first(stored, monkeypatch, recwarn):
    real, other = rounds.one_round, []

    def beaten(*arguments):
        result = real(*arguments)
        if not other:
            other.append(1)
            other.append(stored.train(2, record_updates=True))  # keeps its run and removes what is unfinished
        return result

    monkeypatch.setattr(rounds, "one_round", beaten)
    run = stored.train(2, record_updates=True)
    assert torch.equal(run.weights, other[1].weights) and len(stored.updates(run, 1)) == 4 and not recwarn.list


@pytest.mark.parametrize("number", TROUBLE)
def test_a_row_that_cannot_be_kept_is_not_lost(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "replace", failing(number))
    with pytest.warns(UserWarning, match=f"a row of the sweep could not be kept in .*{os.strerror(number)}.*{CURE[number]}"):
        assert fu.sweep(lambda a: {"b": a}, {"a": [1]}, jobs=1, store=tmp_path).table["b"].tolist() == [1]


@pytest.mark.parametrize("name", ["run.json", "weights.safetensors", "", "..", "../.."])
def test_what_may_not_be_read_is_computed_again(own, name):
    run = own.train(1)
    path = (own.store._entry(run.key) / name).resolve()
    os.chmod(path, 0)
    with pytest.warns(UserWarning, match="could not be (read|kept).*Permission denied"):
        assert torch.equal(own.train(1).weights, run.weights)
    os.chmod(path, 0o755)
    assert own.store.get(run.key) is not None, "nothing was moved or removed"


def test_a_checkpoint_a_row_and_updates_that_may_not_be_read(own, monkeypatch):
    store, run = own.store, own.train(1, record_updates=True)
    key = "ab" * 32
    store.save_checkpoint(key, {"weights": run.weights}, {"history": run.history, "cost": dataclasses.asdict(run.cost), "done": 1})
    store.put_row(key, {"a": 1})
    for path in (store.checkpoint_folder(key), store._row(key), store._entry(run.key) / "updates"):
        os.chmod(path, 0)
    with pytest.warns(UserWarning, match="cannot be read .Permission denied. and is ignored"):
        assert store.load_checkpoint(key) is None
    with pytest.warns(UserWarning, match="a stored row of the sweep could not be read from .*Permission denied"):
        assert store.row(key) is None
    with pytest.raises(fu.FucoreError, match="updates of round 1 cannot be read from .*Permission denied"):
        own.updates(run, 1)
    assert store.keys() == [run.key]


def test_a_damaged_entry_of_a_read_only_store_stays_where_it_is(own):
    run = own.train(1)
    entry = own.store._entry(run.key)
    (entry / "run.json").write_text("{}")
    for path in (own.store.root, entry.parent):
        os.chmod(path, 0o555)
    with pytest.warns(UserWarning, match="damaged .*could not be moved away from .*Permission denied. and is computed again"):
        assert own.store.get(run.key) is None
    assert entry.is_dir()


@pytest.mark.parametrize("kind", ["a file", "below a file", "too long", "a file inside"])
def test_a_store_that_can_be_none(fed, tmp_path, capsys, monkeypatch, kind):
    (tmp_path / "file").write_text("mine")
    root = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "store", "too long": tmp_path / ("x" * 300)}.get(
        kind, tmp_path
    )
    if kind == "a file inside":
        (tmp_path / "runs").write_text("mine")
    blocked = dataclasses.replace(fed, store=fu.Store(root))
    said = "path is too long" if kind == "too long" else "a file lies where a folder is needed"
    with pytest.warns(UserWarning, match=f"the run could not be kept in .*{said}"):
        run = blocked.train(1)
    with pytest.warns(UserWarning, match=said):
        fu.sweep(lambda a: {"b": a}, {"a": [1]}, jobs=1, store=root) if kind != "a file inside" else blocked.store.put(run)
    if kind != "a file inside":
        with pytest.raises(fu.FucoreError, match=said):
            blocked.train(1, record_updates=True)
        monkeypatch.setenv("FUCORE_STORE", str(root))
        assert command.main([]) == 1 and "cannot be read" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("root", [7, 3.5, b"\xff", "a\0b", "~nobody-of-this-name/store", [], ["a"]])
def test_what_is_no_folder_is_refused_in_a_sentence(root):
    if root == []:
        return  # as None: the usual store
    with pytest.raises(fu.FucoreError, match="is no folder for a store"):
        fu.Store(root)


def test_prune_says_what_stays_and_why(own, monkeypatch, capsys):
    stays, goes = own.train(1), own.train(1, seed=5)
    if stays.key[:2] == goes.key[:2]:
        goes = own.train(1, seed=6)
    entry = own.store._entry(stays.key)
    os.chmod(entry.parent, 0o555)
    monkeypatch.setenv("FUCORE_STORE", str(own.store.root))
    assert command.main(["prune", "--days", "0"]) == 1
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and f"{entry} could not be deleted (Permission denied" in told.err and "freed 0.1 MB" in told.out
    assert own.store.keys() == [stays.key] and own.store.get(stays.key) is not None
    os.chmod(entry.parent, 0o755)
    assert command.main(["prune", "--days", "0"]) == 0 and own.store.keys() == [] and own.store.size() == 0


def test_the_command_line_refuses_in_a_sentence(capsys, monkeypatch):
    assert command.main(["prune", "--days", "-1"]) == 2 and "days is -1" in capsys.readouterr().err
    monkeypatch.setenv("FUCORE_STORE", "~nobody-of-this-name/store")
    assert command.main([]) == 2 and "is no folder for a store" in capsys.readouterr().err


def test_pruned_entries_disappear_as_a_whole(stored, monkeypatch):
    run, real = stored.train(1), shutil.rmtree

    def looks(path, *arguments, **options):
        assert stored.store.get(run.key) is None and stored.store.keys() == []
        real(path, *arguments, **options)

    monkeypatch.setattr(shutil, "rmtree", looks)
    assert stored.store.prune(days=0) > 4 * stored.layout.size


# ---- forks, and processes that start anew


def digest_of(fed, seed):
    return fed.train(1, seed=seed).weights.double().sum().item(), fed.evaluate(fed.initial_weights(seed))


def test_a_federation_works_in_a_fork(fed):
    fed = dataclasses.replace(fed, workers=2)
    expected = digest_of(fed, 3)
    digest_of(fed, 4)  # its threads are there before the fork
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(digest_of(fed, 3)))
    child.start()
    child.join(30)
    if child.exitcode is None:
        child.kill()
    assert child.exitcode == 0 and queue.get() == expected


@pytest.mark.long
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_federation_works_in_a_process_that_starts_anew(stored, method):
    expected = digest_of(dataclasses.replace(stored, store=None), 3)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert list(pool.map(digest_of, [stored, stored], [3, 3], timeout=120)) == [expected] * 2
    assert stored.store.keys() == [stored.train(1, seed=3).key]


# ---- sweeps


@pytest.fixture
def mine():
    """A method, a metric, a network and a data set of a user's, who works in this very process."""

    def half(task, *, factor=0.5):
        return task.original.weights * factor

    def size(run, case, others):
        return float(run.weights.norm())

    def linear(shape, classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), classes))

    def stripes(folder):
        images = np.zeros((40, 8, 8), np.uint8)
        images[::2] = 200
        labels = np.arange(40) % 2
        return images, labels, images[:10], labels[:10], None

    from fucore.data.sources import SOURCES, source
    from fucore.federation.models import FACTORIES

    fu.method("half")(half)
    fu.metric("size of the weights")(size)
    fu.models.model("linear")(linear)
    source("stripes")(stripes)
    yield
    for registry, name in ((fu.METHODS, "half"), (fu.METRICS, "size of the weights"), (FACTORIES, "linear"), (SOURCES, "stripes")):
        registry.pop(name, None)


def uses_mine(seed):
    data = fu.load("stripes")
    fed = fu.Federation(data, fu.partition.iid(data.train.labels, 2), "linear", store=None)
    original, request = fed.train(1, seed=seed), fu.forget.client(0)
    run = fu.unlearn("half", original, request)
    case = fu.Case(original, [fed.without(request).train(1, seed=seed + 10)], request)
    return {"size": fu.METRICS["size of the weights"](run, case), "process": os.getpid()}


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
@pytest.mark.long
def test_workers_know_what_the_user_registered(mine, tmp_path, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        result = fu.sweep(uses_mine, {"seed": [0, 1, 2]}, store=tmp_path)
    here = [uses_mine(seed)["size"] for seed in (0, 1, 2)]
    assert not result.failures and result.table["size"].tolist() == here
    assert (os.getpid() in set(result.table["process"])) == (backend == "threading")


def test_a_backend_without_a_number_of_jobs_uses_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setenv("FUCORE_WORKERS", "2")
    with joblib.parallel_config(backend="multiprocessing"):
        table = fu.sweep(lambda a: {"process": os.getpid()}, {"a": list(range(20))}, store=tmp_path).table
    assert os.getpid() not in set(table["process"]) and len(table) == 20


def test_a_row_depends_on_what_the_user_registered(mine, tmp_path):
    def sweep():
        return fu.sweep(uses_mine, {"seed": [0]}, jobs=1, store=tmp_path).table["size"].tolist()[0]

    first = sweep()

    @fu.method("half")
    def third(task, *, factor=1 / 3):
        return task.original.weights * factor

    second = sweep()
    assert second == pytest.approx(first * 2 / 3)
    fu.metric("size of the weights")(lambda run, case, others: 0.0)
    assert sweep() == 0.0
    rows = len(list((tmp_path / "rows").rglob("*.json")))
    sweep()
    assert rows == len(list((tmp_path / "rows").rglob("*.json"))) == 3


@pytest.mark.parametrize("kind", ["file", "npz", "nested", "folder", "folder below"])
def test_a_row_depends_on_the_files_that_its_point_names(tmp_path, kind):
    folder = tmp_path / "data"
    (folder / "train").mkdir(parents=True)
    file = folder / "train" / "a.txt"
    file.write_text("1")
    (folder / "loop").symlink_to(folder)
    named = {
        "file": str(file),
        "npz": f"npz:{file}",
        "nested": [{"of": [str(file)]}],
        "folder": f"folder:{folder}",
        "folder below": str(folder / "train"),
    }[kind]

    def work(where):
        return {"time": time.perf_counter()}

    def sweep():
        return fu.sweep(work, [{"where": named}], jobs=1, store=tmp_path / "store").table["time"].tolist()[0]

    first = sweep()
    assert sweep() == first
    file.write_text("2")
    second = sweep()
    assert second != first and sweep() == second
    file.write_text("1")
    assert sweep() == first
    if "folder" in kind:
        file.rename(file.with_name("b.txt"))
        assert sweep() not in (first, second)


def test_strings_that_name_no_file_and_files_that_cannot_be_read(tmp_path, ordinary):
    secret = ordinary / "secret"
    secret.write_text("1")
    os.chmod(secret, 0)
    os.mkfifo(ordinary / "pipe")
    points = {"where": ["", "iid", "a\0b", "~", ":", "x" * 5000, str(secret), str(ordinary / "pipe"), "npz:", "npz:/nowhere"]}
    points["where"].remove("~")  # the user's whole home would be read
    assert len(fu.sweep(lambda where: {"b": 1}, points, jobs=1, store=ordinary / "store").table) == 9


def test_without_a_store_nothing_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("FUCORE_STORE", str(tmp_path / "usual"))

    def work(a):
        return {"time": time.perf_counter()}

    def sweep(**store):
        return fu.sweep(work, {"a": [1]}, jobs=1, **store).table["time"].tolist()

    assert sweep(store=None) != sweep(store=None) and not (tmp_path / "usual").exists()
    assert sweep() == sweep() == sweep(store=fu.Store()) == sweep(store=str(tmp_path / "usual"))


@pytest.mark.parametrize(("work", "message"), [(7, "work is 7, but must be a function"), ("erase", "work is 'erase'")])
def test_work_must_be_a_function(work, message):
    with pytest.raises(fu.FucoreError, match=message):
        fu.sweep(work, {"a": [1]}, store=None)


def test_work_that_cannot_be_sent_or_exits_or_returns_anything_is_told(tmp_path):
    with open(tmp_path / "file", "w") as file, pytest.raises(fu.FucoreError, match="work cannot be sent to other processes"):
        fu.sweep(lambda a: file.write("x"), {"a": [1, 2]}, jobs=2, store=None)
    with pytest.warns(UserWarning, match="2 of 2 points failed"):
        told = [reason for _, reason in fu.sweep(lambda a: sys.exit(3) if a else {"b": print}, {"a": [0, 1]}, jobs=1, store=None).failures]
    assert "must return a dict of plain values" in told[0] and "SystemExit: 3" in told[1]


SWEEP = """
import os, pathlib, sys, time
import fucore as fu

data = fu.load("digits")
fed = fu.Federation(data, fu.partition.iid(data.train.labels, 3), store=fu.Store(sys.argv[1] + "/store"))
folder, seconds = sys.argv[1], float(sys.argv[2])

def work(seed):
    open(os.path.join(folder, f"process-{os.getpid()}"), "w").close()
    fed.train(1, seed=seed, record_updates=True)
    time.sleep(seconds)
    return {"seed": seed}

print(len(fu.sweep(work, {"seed": list(range(6))}, jobs=2, store=folder + "/store").table), flush=True)
if len(sys.argv) > 3:
    print("idle", flush=True)
    sys.stdin.readline()
    print(len(fu.sweep(work, {"seed": [7, 8, 9]}, jobs=2, store=folder + "/store").table), flush=True)
"""


def start(folder, seconds, *more):
    environment = {**os.environ, "FUCORE_WORKERS": "1"}
    command = [sys.executable, "-c", SWEEP, str(folder), str(seconds), *more]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )


def busy(folder, sweeping, count=2):
    """Process ids of the workers, once there are so many."""
    until = time.time() + 60
    while len(found := list(pathlib.Path(folder).glob("process-*"))) < count and time.time() < until and sweeping.poll() is None:
        time.sleep(0.02)
    return [int(path.name.partition("-")[2]) for path in found]


def gone(processes, seconds):
    until = time.time() + seconds
    while time.time() < until:
        if not [process for process in processes if alive(process)]:
            return True
        time.sleep(0.1)
    return False


def alive(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finishes_well(folder):
    """The same sweep again ends with all its points and no word about damage."""
    again = start(folder, 0)
    out, err = again.communicate(timeout=120)
    assert out.strip() == "6" and "damaged" not in err, err
    store = fu.Store(folder / "store")
    assert all(store.get(key) is not None for key in store.keys()) and len(store.keys()) == 6


@pytest.mark.long
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes by /proc")
def test_workers_of_a_killed_parent_do_not_go_on(tmp_path):
    parent = start(tmp_path, 60)
    workers = busy(tmp_path, parent)
    time.sleep(1.0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert len(workers) == 2 and gone(workers, 10)
    finishes_well(tmp_path)


@pytest.mark.long
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes by /proc")
def test_ctrl_c_while_busy_ends_everything_and_loses_nothing(tmp_path):
    parent = start(tmp_path, 2)
    workers, until = busy(tmp_path, parent), time.time() + 60
    while not list((tmp_path / "store" / "rows").rglob("*.json")) and time.time() < until:
        time.sleep(0.02)
    os.killpg(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=30)
    assert "KeyboardInterrupt" in err and parent.returncode not in (0, None) and gone(workers, 10)
    assert list((tmp_path / "store" / "rows").rglob("*.json"))
    finishes_well(tmp_path)


@pytest.mark.long
def test_ctrl_c_while_idle_leaves_the_next_sweep_well(tmp_path):
    """What a terminal or a notebook does: the signal reaches the idle workers too, and the parent goes on."""
    parent = start(tmp_path, 0, "again")
    workers = busy(tmp_path, parent, 1)
    assert parent.stdout.readline().strip() == "6" and parent.stdout.readline().strip() == "idle"
    for worker in {*workers, *busy(tmp_path, parent, 1)}:
        os.kill(worker, signal.SIGINT)
    time.sleep(0.5)
    out, err = parent.communicate("\n", timeout=60)
    assert out.strip() == "3", err


@pytest.mark.long
def test_several_sweeps_share_a_store(tmp_path):
    sweeps = [start(tmp_path, 0) for _ in range(3)]
    said = [each.communicate(timeout=180) for each in sweeps]
    assert [out.strip() for out, _ in said] == ["6"] * 3, said
    assert not any("Traceback" in err or "damaged" in err or "could not" in err for _, err in said), said
    assert len(fu.Store(tmp_path / "store").keys()) == 6 and not list((tmp_path / "store" / "tmp").iterdir())
    assert all(json.loads(path.read_text())["row"] for path in (tmp_path / "store" / "rows").rglob("*.json"))
