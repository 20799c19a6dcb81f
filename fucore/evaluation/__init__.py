"""Judging: everything a comparison of unlearned models reports, against what *another retrained model* would get."""

from .report import Report, compare, judge_examples  # noqa: F401
