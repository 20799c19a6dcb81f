"""The Python that README.md and the book show is run as it stands, on the small digits."""

import re

import pytest

from notebooks import ROOT


@pytest.mark.parametrize("page", ["README.md", "book/rerun.md"])
def test_shown_code_runs(page, monkeypatch):
    from fucore.unlearning import METHODS

    known = dict(METHODS)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    code = "\n".join(blocks).replace('"mnist5k"', '"digits"').replace("rounds=10", "rounds=3").replace("clients=10", "clients=4")
    assert "fu.compare" in code
    names = {"__name__": "shown"}
    try:
        exec(compile(code, page, "exec"), names)
    finally:
        for name in set(METHODS) - set(known):
            del METHODS[name]
    assert "FedMemPrune" in repr(names["report"])
