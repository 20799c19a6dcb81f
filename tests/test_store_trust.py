"""What is read back from a store is checked as data from a stranger would be."""

import dataclasses
import hashlib
import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fucore as fu
from fucore.runs import entries
from fucore.runs.files import bytes_on_disk
from fucore.unlearning.registry import Method


@pytest.fixture
def run(stored):
    return stored.train(2, seed=1)


def forge(store, key, change):
    """Change what ``run.json`` says, and make its checksum anew."""
    path = store._entry(key) / "run.json"
    body = json.loads(path.read_text())["body"]
    body = change(body) or body
    path.write_text(json.dumps({"sha256": entries.digest(body), "body": body}))


def forge_file(store, key, name, tensors):
    """Replace a file of tensors, and make its checksum anew."""
    path = store._entry(key) / name
    path.unlink()
    save_file(tensors, path)
    forge(store, key, lambda body: body["files"].update({name: hashlib.sha256(path.read_bytes()).hexdigest()}))


def row(**changed):
    return lambda body: body["history"][0].update(changed)


CHANGES = {
    "config of other rounds": lambda body: body["config"].update(rounds=3),
    "config of another seed": lambda body: body["config"].update(seed=0),
    "config of a method": lambda body: body["config"].update(method="retrain"),
    "config with something more": lambda body: body["config"].update(extra=None),
    "no dict for config": lambda body: body.update(config=[]),
    "no list for history": lambda body: body.update(history={}),
    "no rows in history": lambda body: body.update(history=[]),
    "a row that is none": lambda body: body.update(history=[None]),
    "a row without loss": lambda body: body["history"][0].pop("test_loss"),
    "a row without seconds": lambda body: body["history"][1].pop("seconds"),
    "accuracy nan": row(test_accuracy=math.nan),
    "accuracy 2": row(test_accuracy=2.0),
    "accuracy text": row(test_accuracy="0.5"),
    "accuracy true": row(test_accuracy=True),
    "loss text": row(test_loss="low"),
    "seconds infinite": row(seconds=math.inf),
    "seconds negative": row(seconds=-1.0),
    "examples beyond all": row(examples=10**30),
    "round half": row(round=1.5),
    "round negative": row(round=-1),
    "rounds out of order": row(round=2**40),
    "participants text": row(participants="all"),
    "participants negative": row(participants=[-1]),
    "stage a number": row(stage=3),
    "more rounds than planned": lambda body: body["history"][-1].update(round=50),
    "cost nan": lambda body: body["cost"].update(seconds=math.nan),
    "cost negative": lambda body: body["cost"].update(uploaded=-1),
    "cost text": lambda body: body["cost"].update(examples="many"),
    "cost with something more": lambda body: body["cost"].update(tips=3),
    "cost without something": lambda body: body["cost"].pop("stored"),
    "provenance of numbers": lambda body: body["provenance"].update(torch=2),
    "log a list": lambda body: body.update(log=[]),
    "something more": lambda body: body.update(pickle="gASV"),
    "without log": lambda body: body.pop("log") and None,
    "a body that is a list": lambda body: [body],
    "a file without checksum": lambda body: body["files"].update({"weights.safetensors": None}),
    "updates that nobody asked for": lambda body: body["files"].update({"updates/000001.safetensors": "0" * 64}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_forged_description_is_set_aside(stored, run, change):
    forge(stored.store, run.key, change)
    with pytest.warns(UserWarning, match="a stored run is damaged"):
        assert stored.store.get(run.key) is None
    assert stored.store.keys() == [] and len(list((stored.store.root / "damaged").iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b'{"sha256": 1}', b'{"body": {}, "sha256": "0"}']
)
def test_nonsense_in_place_of_a_description_is_set_aside(stored, run, content):
    (stored.store._entry(run.key) / "run.json").write_bytes(content)
    with pytest.warns(UserWarning, match="a stored run is damaged"):
        assert stored.store.get(run.key) is None


WEIGHTS = {
    "float64": lambda weights: {"weights": weights.double()},
    "bfloat16": lambda weights: {"weights": weights.bfloat16()},
    "int32": lambda weights: {"weights": weights.int()},
    "a matrix": lambda weights: {"weights": weights[None]},
    "a scalar": lambda weights: {"weights": weights[0].clone()},
    "empty": lambda weights: {"weights": weights[:0].clone()},
    "nan": lambda weights: {"weights": weights.clone().index_fill_(0, torch.tensor([5]), math.nan)},
    "infinite": lambda weights: {"weights": weights.clone().index_fill_(0, torch.tensor([5]), math.inf)},
    "two tensors": lambda weights: {"weights": weights, "more": weights.clone()},
    "another name": lambda weights: {"parameters": weights},
    "too short": lambda weights: {"weights": weights[1:].clone()},
}


@pytest.mark.parametrize("change", WEIGHTS.values(), ids=WEIGHTS)
def test_forged_weights_are_set_aside_and_trained_again(stored, run, change):
    forge_file(stored.store, run.key, "weights.safetensors", change(run.weights))
    with pytest.warns(UserWarning, match="a stored run is damaged"):
        again = stored.train(2, seed=1)
    assert torch.equal(again.weights, run.weights) and stored.store.keys() == [run.key]


def test_weights_of_another_length_are_not_taken_by_unlearning_either(stored, run):
    unlearned = fu.unlearn("fine-tune", run, fu.forget.client(0), rounds=1)
    forge_file(stored.store, unlearned.key, "weights.safetensors", {"weights": run.weights[1:].clone()})
    with pytest.warns(UserWarning, match="a stored run is damaged"):
        assert torch.equal(fu.unlearn("fine-tune", run, fu.forget.client(0), rounds=1).weights, unlearned.weights)


def test_an_entry_copied_to_another_key_is_not_served(stored, run):
    other = stored.train(2, seed=2)
    shutil.rmtree(stored.store._entry(other.key))
    shutil.copytree(stored.store._entry(run.key), stored.store._entry(other.key))
    with pytest.warns(UserWarning, match="that of another run"):
        assert torch.equal(stored.train(2, seed=2).weights, other.weights)
    assert torch.equal(stored.store.get(run.key).weights, run.weights)


@dataclasses.dataclass(frozen=True)
class Odd(fu.FedAvg):
    """Fields of many kinds, with whole numbers as keys, which JSON sorts otherwise."""

    by_round: dict = dataclasses.field(default_factory=lambda: {9: 1.0, 10: math.inf, True: None})
    pair: tuple = (1, np.float32(0.1), np.int64(3))


def test_every_configuration_is_kept_so_that_its_hash_is_the_key(stored, monkeypatch):
    def odd(task, *, cap=math.inf, never=None, pair=(1, 2), table=None, number=np.float32(0.1), array=np.arange(3)):  # noqa: B006
        return task.original.weights.clone()

    monkeypatch.setitem(fu.METHODS, "odd", Method("odd", odd, (), ""))
    fed = dataclasses.replace(stored, server=Odd())
    original = fed.train(np.int64(2), until=1.0)
    runs = [
        original,
        fu.unlearn("odd", original, fu.forget.client(0)),
        fu.unlearn("odd", original, fu.forget.client(0), table={10: (1, math.nan), 9: np.float64(0.25)}),
        fu.unlearn("retrain", original, fu.forget.client(1), rounds=1),
    ]
    for run in runs:
        again = fed.store.get(run.key)
        assert again is not None and torch.equal(again.weights, run.weights) and again.cost == run.cost
        assert json.dumps(again.config) == json.dumps(run.config) and json.dumps(again.history) == json.dumps(run.history)


def test_a_run_that_could_not_be_read_back_is_not_kept(stored, run):
    for bad in (
        {"config": {**run.config, "seed": 7}},
        {"history": [{"round": 1}]},
        {"log": {"of": object()}},
        {"weights": run.weights.double()},
    ):
        shutil.rmtree(stored.store._entry(run.key), ignore_errors=True)
        with pytest.warns(UserWarning, match="will not be kept in the store, since"):
            stored.store.put(dataclasses.replace(run, **bad))
        assert stored.store.keys() == [] and not list((stored.store.root / "tmp").iterdir())


def test_an_infinite_loss_of_finite_weights_is_kept(stored, run):
    shutil.rmtree(stored.store._entry(run.key))
    stored.store.put(
        dataclasses.replace(run, history=[{**each, "test_loss": loss} for each, loss in zip(run.history, (math.inf, math.nan))])
    )
    assert stored.store.get(run.key).history[0]["test_loss"] == math.inf


STATES = {
    "as it was": (lambda tensors, state: None, False),
    "nothing done": (lambda tensors, state: state.update(done=0, history=[]), True),
    "more done than planned": (lambda tensors, state: state.update(done=4), True),
    "done is true": (lambda tensors, state: state.update(done=True), True),
    "done is text": (lambda tensors, state: state.update(done="2"), True),
    "a round missing in the history": (lambda tensors, state: state["history"].pop(0), True),
    "a history of text": (lambda tensors, state: state.update(history="good"), True),
    "a cost of nothing": (lambda tensors, state: state.update(cost={}), True),
    "something more": (lambda tensors, state: state.update(more=1), True),
    "a list": (lambda tensors, state: [], True),
    "weights nan": (lambda tensors, state: tensors["weights"].fill_(math.nan), True),
    "weights float64": (lambda tensors, state: tensors.update(weights=tensors["weights"].double()), True),
    "weights of another network": (lambda tensors, state: tensors.update(weights=tensors["weights"][1:].clone()), True),
    "no weights": (lambda tensors, state: tensors.update({"server.weights": tensors.pop("weights")}), True),
    "a tensor of nobody": (lambda tensors, state: tensors.update(evil=torch.ones(2)), True),
}


@pytest.mark.parametrize(("change", "refused"), STATES.values(), ids=STATES)
def test_a_forged_checkpoint_is_ignored_with_a_warning(stored, interrupt, recwarn, change, refused):
    expected = dataclasses.replace(stored, store=None).train(4, seed=2).weights
    begun = interrupt()
    with pytest.raises(KeyboardInterrupt):
        stored.train(4, seed=2)
    (key,) = os.listdir(stored.store.root / "checkpoints")
    tensors, state = stored.store.load_checkpoint(key)
    changed = change(tensors, state)
    stored.store.save_checkpoint(key, tensors, changed if changed == [] else state)
    before = len(begun)
    assert torch.equal(stored.train(4, seed=2).weights, expected)
    assert len(begun) - before == (4 if refused else 2)
    assert any("ignored; the run starts anew" in str(each.message) for each in recwarn) == refused


def test_a_checkpoint_of_another_run_is_ignored(stored, interrupt):
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        stored.train(4, seed=2)
    (key,) = os.listdir(stored.store.root / "checkpoints")
    other = "ab" * 32
    shutil.copytree(stored.store.checkpoint_folder(key), stored.store.checkpoint_folder(other))
    with pytest.warns(UserWarning, match="does not match its checksum"):
        assert stored.store.load_checkpoint(other) is None
    assert stored.store.load_checkpoint(key) is not None


@pytest.mark.parametrize("bits", [torch.ones(3, dtype=torch.bfloat16), torch.tensor(7), torch.zeros(0), torch.ones(2, 2).t()])
def test_the_state_of_a_server_may_be_of_any_kind(stored, run, bits):
    state = {"history": run.history, "cost": dataclasses.asdict(run.cost), "done": 2}
    stored.store.save_checkpoint(run.key[::-1], {"weights": run.weights, "server.a": bits}, state)
    assert torch.equal(stored.store.load_checkpoint(run.key[::-1])[0]["server.a"], bits)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"row": []}', '{"sha256": "0", "row": {"b": 2}}', "forged", "list", "foreign"])
def test_a_bad_row_is_computed_again_with_a_warning(tmp_path, content):
    store, folder = fu.Store(tmp_path / "store"), str(tmp_path / "calls")
    os.mkdir(folder)

    def work(a):
        open(os.path.join(folder, str(len(os.listdir(folder)))), "x").close()
        return {"b": a}

    fu.sweep(work, {"a": [1, 2]}, jobs=1, store=store)
    one, two = sorted((store.root / "rows").rglob("*.json"))
    row = json.loads(one.read_text())["row"]
    forged = {
        "forged": {"row": {"b": 5}, "sha256": entries.digest({"b": 5})},
        "list": {"row": [row], "sha256": entries.digest([one.stem, [row]])},
        "foreign": json.loads(two.read_text()),
    }
    one.write_text(json.dumps(forged[content]) if content in forged else content)
    with pytest.warns(UserWarning, match="a stored row of the sweep is damaged"):
        assert fu.sweep(work, {"a": [1, 2]}, jobs=1, store=store).table["b"].tolist() == [1, 2]
    assert len(os.listdir(folder)) == 3
    assert fu.sweep(work, {"a": [1, 2]}, jobs=1, store=store).table["b"].tolist() == [1, 2]


# ---- recorded client updates

NAME = "updates/000002.safetensors"


def flip(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-4]), lambda path: path.write_bytes(b""), os.unlink]
)
def test_damaged_updates_are_told_in_one_sentence_and_recorded_again(stored, damage):
    run = stored.train(2, record_updates=True)
    good = stored.updates(run, 2).clone()
    damage(stored.store._entry(run.key) / NAME)
    with pytest.warns(UserWarning, match="a stored run is damaged"), pytest.raises(fu.FucoreError, match="record_updates=True.$"):
        stored.updates(run, 2)
    assert torch.equal(stored.updates(stored.train(2, record_updates=True), 2), good)


@pytest.mark.parametrize(
    "change",
    [
        lambda u: u.double(),
        lambda u: u[:-1].clone(),
        lambda u: u[:, 1:].clone(),
        lambda u: u[0].clone(),
        lambda u: u * math.nan,
        lambda u: u / 0,
    ],
)
def test_forged_updates_are_refused(stored, change):
    run = stored.train(2, record_updates=True)
    forge_file(stored.store, run.key, NAME, {"updates": change(load_file(stored.store._entry(run.key) / NAME)["updates"])})
    with pytest.warns(UserWarning, match="a stored run is damaged"), pytest.raises(fu.FucoreError, match="updates is"):
        stored.updates(run, 2)


@pytest.mark.parametrize("lost", ["updates/000001.safetensors", NAME])
def test_a_run_whose_updates_are_gone_is_trained_again(stored, lost):
    run = stored.train(2, record_updates=True)
    (stored.store._entry(run.key) / lost).unlink()
    with pytest.warns(UserWarning, match=f"{lost} is missing"):
        again = stored.train(2, record_updates=True)
    assert len(stored.updates(again, 1)) == len(stored.updates(again, 2)) == 4


def test_updates_are_linked_not_copied_and_a_death_loses_none(stored, monkeypatch):
    room, real = [], os.rename

    def dies(*arguments):
        room.append(bytes_on_disk(stored.store.root))
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", lambda *_, **__: pytest.fail("copied"))
    monkeypatch.setattr(os, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        stored.train(3, record_updates=True)
    monkeypatch.setattr(os, "rename", real)
    one = 4 * 4 * stored.layout.size
    assert 3 * one < room[0] < 4 * one
    (checkpoint,) = (stored.store.root / "checkpoints").iterdir()
    assert len(list((checkpoint / "updates").glob("*.safetensors"))) == 3
    run = stored.train(3, record_updates=True)
    assert len(stored.updates(run, 3)) == 4 and not checkpoint.exists()


def test_where_there_are_no_hard_links_updates_are_copied(stored, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    run = stored.train(2, record_updates=True)
    assert len(stored.store.get(run.key).history) == 2 and stored.updates(run, 2).shape == (4, stored.layout.size)
