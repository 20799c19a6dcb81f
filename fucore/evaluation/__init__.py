"""Unlearned models judged by retrained ones."""

from . import metrics  # noqa: F401  registers the built-in ones
from .comparing import compare
from .judging import examples_table, judge_examples
from .references import Reference, reference
from .registry import METRICS, Metric, metric
from .report import Report
from .sequence import step_by_step
from .several import MethodReport

__all__ = [
    "METRICS",
    "MethodReport",
    "Metric",
    "Reference",
    "Report",
    "compare",
    "examples_table",
    "judge_examples",
    "metric",
    "reference",
    "step_by_step",
]
