import json
import re

import pytest

import fucore as fu
from fucore.widgets import Explorer, Frame, Row, ratio_frame


def row(value, label="group"):
    return Row(label, value, value - 1, value + 1, 50.0, 40.0, 60.0, f"{value:.0f} vs 50 %")


@pytest.fixture
def explorer():
    frames = {(a, b): Frame((row(10 * a + b),), f"at {a} and {b}") for a in (1.0, 2.0, 3.0) for b in (0.0, 0.5)}
    return Explorer("Two knobs", {"ratio ρ": (1.0, 2.0, 3.0), "spread α": (0.0, 0.5)}, frames, (2.0, 0.5))


def test_html_holds_every_frame_and_loads_nothing(explorer):
    page = explorer.to_html()
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1].replace("<\\/", "</"))
    assert len(data["frames"]) == 6 and data["frames"]["1,1"]["note"] == "at 2.0 and 0.5"
    assert "at 2.0 and 0.5</div>" in page, "without script the first frame shows"
    assert "http" not in page and "src=" not in page
    assert page == explorer.to_html(), "byte-stable"


def test_a_recorded_notebook_keeps_html_and_no_widget(explorer):
    explorer.compute = lambda *_: None
    assert set(explorer._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_live_sliders_show_recorded_frames_and_compute_others(explorer):
    asked = []

    def compute(a, b):
        asked.append((a, b))
        if b > 0.4:
            raise fu.FucoreError("b is too large.")
        return Frame((row(77.0),), "computed")

    explorer.compute = compute
    first, second, status, picture = explorer.live().children
    assert "at 2.0 and 0.5" in picture.value and asked == []
    first.value = 3.0
    assert "at 3.0 and 0.5" in picture.value and asked == []
    first.value = 2.5
    assert "b is too large." in status.value and "at 3.0" in picture.value
    second.value = 0.25
    assert "computed" in picture.value and "77 vs 50 %" in picture.value and status.value == ""
    second.value, second.value = 0.0, 0.25
    assert asked == [(2.5, 0.5), (2.5, 0.25), (2.5, 0.0)], "each setting is computed once"


def test_a_hole_in_the_grid_is_refused(explorer):
    frames = dict(list(explorer.frames.items())[1:])
    with pytest.raises(fu.FucoreError, match="5 frames for 6 settings"):
        Explorer("x", explorer.knobs, frames, (2.0, 0.5))
    with pytest.raises(fu.FucoreError, match="same rows"):
        Explorer("x", {"ρ": (0.0, 1.0)}, {(0.0,): Frame((row(1.0, "a"),)), (1.0,): Frame((row(1.0, "b"),))}, (0.0,))


def test_text_is_escaped(explorer):
    explorer.title = "<script>alert(1)</script>"
    assert "<script>alert" not in explorer.to_html()


def test_frame_of_a_report(judged):
    original, retrained, request = judged
    report = fu.compare({"ρ=0.5": fu.unlearn("fedmemprune", original, request, ratio=0.5)}, original, retrained, request)
    frame = ratio_frame(report, "ρ=0.5")
    assert [row.label for row in frame.rows][-2:] == ["forget accuracy", "test accuracy"] and len(frame.rows) == 7
    assert all(0 <= row.low <= row.value <= row.high <= 100 for row in frame.rows)
