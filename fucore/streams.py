"""Numbers of the library's random streams, each used in one place only, so that no two draws repeat each other.

A stream is ``numpy.random.default_rng([seed, Stream.X])`` or, for torch, a generator seeded by ``derived_seed(seed, Stream.X)``.
A method of your own needs no number here: ``task.rng("anything")`` is a stream named after it.
"""

from __future__ import annotations

import enum


@enum.unique
class Stream(enum.IntEnum):
    """Random streams by what is drawn from them."""

    PARTICIPANTS = 5001
    PARTITION = 6000  # and the numbers after it, one a kind of partition
    SAMPLE = 7001
    PLANTED_LABELS = 7002
    DOMAIN_TESTS = 7101
    TRIGGERED = 7201
    RESET_VALUES = 8001
    RECOVERY_BATCHES = 8002
    DRAWN_IN_TRAINING = 8005
    SERVER = 8006
    METHOD = 8003
    PREPARATION = 8004
    PGA_NETWORKS = 8101
    HUTCHINSON = 8201
    RAPID_RETRAINING = 8301
    SHORT_RETRAINING = 8302
    FEDRECOVERY_NOISE = 8401
    FEDAU_LABELS = 8501
    FEDAU_HEAD = 8502
    FEDAU_WRONG_LABELS = 8503
    RANDOM_MASK = 8601
    MODE_NETWORK = 8701
    SIFU_NOISE = 8801
    KNOT_CLUSTERS = 8901
    BOOTSTRAP = 9001
    RANDOM_UNITS = 9002
    POISONED_LABELS = 9003
    NON_MEMBERS = 9004
    MODEL_DRAWS = 9005
    PID_BOOTSTRAP = 9501
    ALIGNMENT = 9601
