"""Many independent computations: duplicates, failures, deaths and second starts."""

import os
import pathlib
import signal
import subprocess
import sys

import joblib
import pytest
import torch

import fucore as fu
from notebooks import ROOT


def counted(folder, name):
    """Note one call of ``name``."""
    pathlib.Path(folder, f"{name}-{os.getpid()}-{len(os.listdir(folder))}").touch()


def test_a_grid_is_computed_once_and_goes_on_where_it_stopped(tmp_path):
    calls, store = str(tmp_path / "calls"), fu.Store(tmp_path / "store")
    os.mkdir(calls)

    def work(a, b):
        counted(calls, "call")
        return {"sum": a + b}

    first = fu.sweep(work, {"a": [1, 2], "b": [10, 20]}, jobs=1, store=store)
    assert first.table.to_dict("list") == {"a": [1, 1, 2, 2], "b": [10, 20, 10, 20], "sum": [11, 21, 12, 22]}
    more = fu.sweep(work, [{"a": 1, "b": 10}, {"a": 3, "b": 10}, {"a": 3, "b": 10}], jobs=1, store=store)
    assert more.table["sum"].tolist() == [11, 13, 13] and len(os.listdir(calls)) == 5


def test_other_work_is_computed_again(tmp_path):
    def sweep(offset):
        return fu.sweep(lambda a: {"b": a + offset}, [{"a": 1}], jobs=1, store=tmp_path).table["b"].tolist()

    assert sweep(1) == [2] and sweep(2) == [3]


def test_a_failing_point_is_reported_and_the_others_finish(tmp_path):
    marker = str(tmp_path / "mended")

    def work(a):
        if a == 2 and not os.path.exists(marker):
            raise ValueError("two is too many")
        return {"b": a}

    with pytest.warns(UserWarning, match="1 of 3 points failed"):
        result = fu.sweep(work, {"a": [1, 2, 3]}, jobs=1, store=tmp_path / "store")
    assert result.table["a"].tolist() == [1, 3] and result.failures[0][0] == {"a": 2}
    assert "ValueError: two is too many (line" in result.failures[0][1] and "two is too many" in repr(result)
    pathlib.Path(marker).touch()
    assert fu.sweep(work, {"a": [1, 2, 3]}, jobs=1, store=tmp_path / "store").table["a"].tolist() == [1, 2, 3]


@pytest.mark.long
def test_processes_share_the_store_and_survive_a_kill(tmp_path, digits):
    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 3), store=fu.Store(tmp_path / "store"))
    died = str(tmp_path / "died")

    def work(seed):
        if seed == 1 and not os.path.exists(died):
            open(died, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        run = fed.train(1, seed=seed)
        return {"key": run.key, "process": os.getpid(), "workers": fed.engine.workers}

    result = fu.sweep(work, {"seed": [0, 1, 2, 3]}, jobs=2, store=tmp_path / "store")
    assert not result.failures and os.path.exists(died)
    assert set(result.table["key"]) == set(fed.store.keys())
    assert os.getpid() not in set(result.table["process"]) and set(result.table["workers"]) == {1}


def test_joblib_decides_where_and_threads_leave_the_settings_of_the_process(tmp_path):
    before = dict(os.environ), torch.get_num_threads()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert fu.sweep(lambda a: {"b": -a}, {"a": [1, 2, 3]}, store=tmp_path).table["b"].tolist() == [-1, -2, -3]
    assert (dict(os.environ), torch.get_num_threads()) == before


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "points must be a dict of lists"),
        ({"a": 3}, "each parameter of a grid must be a list"),
        ([{"a": object()}], "a point must hold plain values"),
    ],
)
def test_bad_points_are_refused(points, message):
    with pytest.raises(fu.FucoreError, match=message):
        fu.sweep(lambda a: {}, points)


def test_work_must_return_a_row(tmp_path):
    with pytest.warns(UserWarning, match="1 of 1 points failed"):
        assert "must return a dict" in fu.sweep(lambda a: a, {"a": [1]}, jobs=1, store=tmp_path).failures[0][1]


def test_a_full_disk_loses_no_result(tmp_path):
    (tmp_path / "store").touch()
    with pytest.warns(UserWarning, match="could not be kept"):
        assert len(fu.sweep(lambda a: {"b": a}, {"a": [1]}, jobs=1, store=tmp_path / "store").table) == 1


@pytest.mark.long
def test_a_cluster_of_processes_survives_the_death_of_one():
    """What ``make cluster-demo`` runs."""
    done = subprocess.run([sys.executable, "benchmarks/cluster_demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 points finished; worker 1 was killed (exit -9), worker 2 is alive." in done.stdout
