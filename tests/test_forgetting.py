import dataclasses

import numpy as np
import pytest
import torch

import fucore as fu
from fucore.data.partition import Partition, iid, overlapping

LABELS = np.tile(np.arange(5), 20)
CLIENTS = iid(LABELS, 4)


@pytest.mark.parametrize(
    "request_, expected",
    [
        (fu.forget.client(1), lambda i, y: np.isin(i, CLIENTS.indices[1])),
        (fu.forget.clients([3, 1]), lambda i, y: np.isin(i, np.concatenate([CLIENTS.indices[1], CLIENTS.indices[3]]))),
        (fu.forget.examples(np.arange(100) < 5), lambda i, y: i < 5),
        (fu.forget.clients(3, 1, 1), lambda i, y: np.isin(i, np.concatenate([CLIENTS.indices[1], CLIENTS.indices[3]]))),
        (fu.forget.classes(2), lambda i, y: y == 2),
        (fu.forget.class_of_client(2, 1), lambda i, y: (y == 2) & np.isin(i, CLIENTS.indices[1])),
        (fu.forget.examples([7, 3]), lambda i, y: np.isin(i, [3, 7])),
    ],
    ids=lambda part: str(part) if isinstance(part, fu.Request) else "",
)
def test_every_kind_of_request_is_one_mask(request_, expected):
    mask = request_.mask(LABELS, CLIENTS)
    assert mask.dtype == bool and np.array_equal(mask, expected(np.arange(100), LABELS))
    forgotten, retained = request_.departed(LABELS, CLIENTS), request_.retained(LABELS, CLIENTS)
    assert np.array_equal(np.sort(np.concatenate(forgotten)), np.flatnonzero(mask))
    for before, gone, kept in zip(CLIENTS.indices, forgotten, retained.indices):
        assert np.array_equal(np.sort(np.concatenate([gone, kept])), before)


def test_where_clients_overlap_others_keep_their_copies():
    clients = overlapping(LABELS, 4, 50)
    retained = fu.forget.client(0).retained(LABELS, clients)
    assert len(retained.indices[0]) == 0
    assert all(np.array_equal(a, b) for a, b in zip(retained.indices[1:], clients.indices[1:]))


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda: fu.forget.client(4).mask(LABELS, CLIENTS), "client to forget is 4, but must be a whole number from 0 to 3"),
        (lambda: fu.forget.classes(5).mask(LABELS, CLIENTS), "class to forget is 5"),
        (lambda: fu.forget.examples([100]).mask(LABELS, CLIENTS), "example to forget is 100"),
        (lambda: fu.forget.clients(), "at least one"),
        (lambda: fu.forget.clients([]), "at least one"),
        (lambda: fu.forget.client(1.0), "client to forget is 1.0, but must be a whole number of at least 0"),
        (lambda: fu.forget.client(True), "client to forget is True"),
        (lambda: fu.forget.client([1]), "client to forget is "),
        (lambda: fu.forget.client(-1), "client to forget is -1"),
        (lambda: fu.forget.clients(1, 2.5), "clients to forget is float64"),
        (lambda: fu.forget.clients("12"), "clients to forget is <U2"),
        (lambda: fu.forget.clients([True, False]), "clients to forget is bool"),
        (lambda: fu.forget.classes([1], [2]), r"classes to forget is int64 of shape \(2, 1\)"),
        (lambda: fu.forget.classes(-1), "classes to forget holds -1"),
        (lambda: fu.forget.class_of_client("a", 0), "class to forget is 'a'"),
        (lambda: fu.forget.examples([1.0, 2.0]), "examples to forget is float64"),
        (lambda: fu.forget.examples([[1], [2, 3]]), "examples to forget is .* without gaps"),
        (lambda: fu.forget.examples(LABELS.reshape(2, 50) > 1), "mask of examples to forget has shape"),
        (lambda: fu.forget.examples(np.zeros(100, bool)), "at least one"),
        (lambda: fu.forget.examples(None), "examples to forget is None"),
        (
            lambda: fu.forget.examples(np.ones(99, bool)).mask(LABELS, CLIENTS),
            "mask of examples to forget is for 99 examples, but there are 100",
        ),
        (lambda: fu.forget.examples(np.ones(101, bool)).mask(LABELS, CLIENTS), "mask of examples to forget is for 101"),
        (lambda: fu.Request(clients=3), r"clients to forget is int64 of shape \(\)"),
        (lambda: fu.Request(examples=(0.5,)), "examples to forget is float64"),
        (lambda: fu.forget.client(0).mask(LABELS[:50], CLIENTS), "the partition names example 99, but there are only 50 labels"),
        (lambda: fu.forget.client(0).mask(LABELS, CLIENTS.indices), "partition is .*, but must be a partition"),
        (lambda: fu.forget.client(0).mask(LABELS / 2, CLIENTS), "labels is float64"),
        (lambda: fu.forget.clients(0, 1, 2, 3).retained(LABELS, CLIENTS), "leaves no example to train on"),
        (
            lambda: fu.forget.class_of_client(1, 0).mask(LABELS, Partition((np.flatnonzero(LABELS == 0), np.flatnonzero(LABELS > 0)))),
            "matches no training example",
        ),
    ],
)
def test_requests_that_cannot_be_met_say_why(act, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        act()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_requests_for_the_same_are_equal_however_they_are_given():
    mask = np.zeros(100, bool)
    mask[[3, 7]] = True
    ways = (mask, mask.tolist(), torch.from_numpy(mask), [7, 3], (3, 7, 7), np.array([7, 3], np.uint8), torch.tensor([3, 7]))
    assert {fu.forget.examples(way) for way in ways} == {fu.Request(examples=[3, 7])}
    assert fu.forget.examples(7) == fu.forget.examples([7]) and fu.forget.clients(np.int64(1), 3) == fu.forget.clients(np.array([3, 1]))
    assert dataclasses.asdict(fu.forget.client(np.uint8(2))) == {"clients": (2,), "classes": None, "examples": None}
    assert fu.forget.examples([0, 1, 1, 0]).examples == (0, 1), "zeros and ones that are no booleans are indices"


def test_a_class_that_a_client_does_not_hold_is_answered_with_those_it_holds():
    labels, clients = np.array([0, 0, 1, 2, 2, 3]), Partition((np.array([0, 1, 3, 4]), np.array([2, 5])))
    with pytest.raises(
        fu.FucoreError, match=r"class 3 of client 0 matches no training example: nothing to forget; client 0 holds classes 0, 2\.$"
    ):
        fu.forget.class_of_client(3, 0).mask(labels, clients)
