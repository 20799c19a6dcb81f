"""The judge's door: unlearned models against retrained ones, in one case or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

from ..data.forgetting import Request
from ..errors import require, require_choice, require_seed, require_whole
from ..federation.case import Case, as_case
from ..runs.run import Run, listed
from .pooling import ORIGINAL, RETRAINED
from .references import Reference
from .report import Report, report_on
from .several import MethodReport, report_on_several


@overload
def compare(
    candidates: Mapping[str, Run | Sequence[Run]],
    case: Case | Run,
    retrained: Sequence[Run] | None = None,
    request: Request | None = None,
    *,
    protocol: str = "cross-fitted",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Report: ...
@overload
def compare(
    candidates: Mapping[str, Run | Sequence[Run]],
    case: Reference | Sequence[Case],
) -> MethodReport: ...
def compare(candidates, case, retrained=None, request=None, *, protocol="cross-fitted", bootstrap=1000, seed=0):
    """Judge unlearned runs against retraining: ``compare(candidates, case)`` or ``compare(candidates, original, retrained, request)``.

    ``candidates``: name to one run, or several runs of one method.  With one case the report is about *these models*; with
    several cases (a list, or a reference such as ``fu.reference("mnist5k")``), of which each candidate has a run in each, about
    *the method*: each run finds its case by the original and the request it was made from.  K >= 2 retrained models a case,
    K >= 4 recommended.  The original and the retrained models appear as rows of their own.

    Raises ``FucoreError`` if runs do not belong to the case, or if a "retrained" run saw the forgotten examples.
    """
    require(isinstance(candidates, dict), "candidates must be a dict of names to runs, such as {'my method': run}.")
    clash = {ORIGINAL, RETRAINED} & set(candidates)
    require(not clash, f"{', '.join(clash)} is a reserved name: call your candidate something else.")
    require_whole("bootstrap", bootstrap, 0)
    require_seed(seed)
    if isinstance(case, Reference):
        several = case.cases
    elif isinstance(case, (list, tuple)) and request is None:
        several = case
    else:
        one: Any = case
        return report_on(listed(candidates), as_case(one, retrained, request), protocol=protocol, bootstrap=bootstrap, seed=seed)
    require(retrained is None, "cases bring their retrained models and requests along: give nothing else.")
    require_choice("protocol", protocol, ("cross-fitted",))
    require(several and all(isinstance(each, Case) for each in several), "give a list of cases, such as fu.cases(...) makes.")
    return report_on_several(listed(candidates), several)
