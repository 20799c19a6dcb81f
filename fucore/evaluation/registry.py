"""The metrics by name: one function, one decorator, and a metric is in reports, in the power study and on the API page::

    @metric("confidence on the forgotten")
    def confidence(run, case, others):
        probabilities = case.logits(run, "departed").softmax(dim=1)
        return float(probabilities.max(dim=1).values.mean())

``run`` is what is measured, ``case`` what it is measured on, ``others`` the retrained models it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import require, require_choice
from ..federation.case import Case
from ..runs.registries import registry
from ..runs.run import Run

#: What a metric makes of the ``others`` it is given, which decides how its values spread over retrained models.
AGAINST = ("nothing", "mean distance", "difference", "mean gap")


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    ``function(run, case, others) -> float``: the value of ``run``, where ``others`` are the retrained models it is compared
    with.  ``worse``: 1 or -1 if the metric is a distance from retraining and grows or falls with it, 0 if only agreement with the retrained
    models' own value says something.  ``against``: one of :data:`AGAINST`.  ``column``: its name in tables of a
    :class:`~fucore.evaluation.report.Report`, or ``None`` if it is not in them; ``key`` names it in the report's data, ``unit`` how it is
    shown there.  ``resolution(case)``: what one example makes.
    """

    name: str
    function: Callable[[Run, Case, Sequence[Run]], float]
    worse: int
    against: str
    column: str | None
    key: str
    unit: str
    resolution: Callable[[Case], float]

    def __call__(self, run: Run, case: Case, others: Sequence[Run] = ()) -> float:
        """Its value for ``run``; what does not look at others is computed once for each run of a case."""
        if self.against != "nothing":
            return float(self.function(run, case, others))
        return case.remember((id(run), "metric", id(self.function)), (run, self.function), lambda: float(self.function(run, case, ())))

    def shown(self, value: float) -> str:
        """A value as tables show it."""
        return "–" if value != value else f"{100 * value:.1f}" if self.unit == "%" else f"{value:.4f}"


#: Registered metrics by name, in the order of tables.
METRICS: dict[str, Metric] = registry("metric")


def shown_metrics() -> list[Metric]:
    """The metrics that are columns of a report."""
    return [metric for metric in METRICS.values() if metric.column]


def metric(
    name: str,
    *,
    worse: int = 0,
    against: str = "nothing",
    column: str | None = "",
    key: str = "",
    unit: str = "",
    resolution: Callable[[Case], float] = lambda case: 1e-9,
):
    """Register ``function(run, case, others) -> float`` as the metric ``name``; see :class:`Metric` for the rest.

    By default it is a column of reports under its own name.  Raises ``FucoreError`` for an unknown kind or a built-in's name.
    """
    require_choice("against", against, AGAINST)
    require(worse in (-1, 0, 1), f"worse is {worse!r}, but must be 1 (farther when larger), -1 (when smaller) or 0 (neither).")
    if against != "nothing":
        column = column or None  # reports show what a model is by itself

    def register(function):
        known = METRICS.get(name)
        own = known is not None and known.function.__module__.startswith("fucore.") and function.__module__ != known.function.__module__
        require(not own, f"{name} is a metric of fucore's own: call yours something else.")
        shown = name if column == "" else column
        METRICS[name] = Metric(name, function, worse, against, shown, key or name.replace(" ", "_"), unit, resolution)
        return function

    return register
