import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import fucore as fu
from fucore import explorers
from fucore.companion.explorers import entropy, partition_explorer, partition_frame, ratio_frame
from fucore.companion.widgets import Explorer, Frame, Held, Row, logarithmic
from notebooks import ROOT


def row(value, label="group"):
    return Row(label, value, value - 1, value + 1, 50.0, 40.0, 60.0, f"{value:.0f} vs 50 %")


@pytest.fixture
def explorer():
    frames = {(a, b): Frame((row(10 * a + b),), f"at {a} and {b}") for a in (1.0, 2.0, 3.0) for b in (0.0, 0.5)}
    return Explorer("Two knobs", {"ratio ρ": (1.0, 2.0, 3.0), "spread α": (0.0, 0.5)}, frames, (2.0, 0.5))


def test_html_holds_every_frame_and_loads_nothing(explorer):
    page = explorer.to_html()
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1].replace("<\\/", "</"))
    assert len(data["frames"]) == 6 and data["frames"]["1,1"]["t"][-1] == "at 2.0 and 0.5"
    assert "at 2.0 and 0.5</span>" in page, "without script the first frame shows"
    assert "http" not in page and "src=" not in page
    assert page == explorer.to_html(), "byte-stable"


def test_a_recorded_notebook_keeps_html_and_no_widget(explorer):
    explorer.compute = lambda *_: None
    assert set(explorer._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_every_frame_fills_the_slots_of_the_page(explorer):
    page = explorer.to_html()
    for frame in explorer.frames.values():
        assert len(frame.slots()["x"]) == page.count(" data-x ") and len(frame.slots()["t"]) == page.count(" data-t>")


def test_live_sliders_show_recorded_frames_and_compute_others(explorer):
    asked = []

    def compute(a, b):
        asked.append((a, b))
        if b > 0.4:
            raise fu.FucoreError("b is too large.")
        return Frame((row(77.0),), "computed")

    explorer.compute, explorer.stops = compute, {"ratio ρ": (2.5,), "spread α": (0.25, float("inf"))}
    first, second, status, _, picture = explorer.live().children
    assert [value for _, value in first.options] == [1.0, 2.0, 2.5, 3.0] and second.options[-1] == ("even", float("inf"))
    assert "at 2.0 and 0.5" in picture.value and asked == []
    first.value = 3.0
    assert "at 3.0 and 0.5" in picture.value and asked == []
    first.value = 2.5
    assert "b is too large." in status.value and "at 3.0" in picture.value
    second.value = 0.25
    assert "computed" in picture.value and "77 vs 50 %" in picture.value and status.value == ""
    second.value, second.value = 0.0, 0.25
    assert asked == [(2.5, 0.5), (2.5, 0.25), (2.5, 0.0)], "each setting is computed once"


def test_a_grid_of_other_data_is_shown_first_and_never_mixed_with_what_is_computed(explorer):
    explorer.compute = lambda a, b: Frame((row(33.0),), f"computed {a} {b}")
    explorer.fresh, explorer.footnote = ("Own data", "of mine"), "of others"
    first, second, status, _, picture = explorer.live().children
    assert "at 2.0 and 0.5" in picture.value and "kept grid" in status.value and "of others" in picture.value
    first.value = 3.0
    assert "computed 3.0 0.5" in picture.value, "though (3, 0.5) is on the grid"
    assert "Own data" in picture.value and "of mine" in picture.value and "Two knobs" not in picture.value


def test_logarithmic_stops_end_with_even():
    stops = logarithmic(0.01, 100)
    assert stops[0] == 0.01 and stops[-2:] == (100.0, float("inf")) and {0.1, 0.5, 1.0, 10.0} <= set(stops)
    assert all(1.1 < high / low < 1.4 for low, high in zip(stops, stops[1:-1])), "equal steps of the logarithm"


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
    assert frame.rows[0].before == 100 * report.groups.accuracy.iloc[0] and frame.answer


def test_the_slider_of_many_cases_shows_the_kept_answers():
    explorer, kept = explorers.ratio_judged(), fu.results.report("judged_mnist5k")
    groups = kept.groups.set_index(["candidate", "group"])
    for (ratio,), frame in explorer.frames.items():
        name = f"FedMemPrune ρ={ratio:g}" if ratio else "Fine-tuning"
        assert [shown.text[-1] for shown in frame.rows] == groups.loc[name].answer.tolist()
        assert all(0 <= shown.low <= shown.value <= shown.high <= 100 for shown in frame.rows) and frame.answer
    words = [frame.answer for frame in explorer.frames.values()]
    assert words[0] == "Too little forgotten" and words[-1] == "Too much forgotten"


def test_partitions_are_shown_with_entropy_and_audit(digits):
    labels = digits.train.labels
    explorer = partition_explorer(lambda alpha: fu.partition.dirichlet(labels, 4, alpha), labels, digits.classes, digits.train.images)
    even, odd = explorer.frames[(float("inf"),)], explorer.frames[(0.01,)]
    assert "no example is held by two clients" in even.note and "Labels of a client: 3.3 bits" in even.note
    assert all(isinstance(held, Held) and sum(held.counts) == int(held.text.split(" ")[0]) for held in odd.rows)
    assert sum(sum(held.counts) for held in odd.rows) == len(labels)
    leak = fu.partition.overlapping(labels, 4, seed=1)
    assert "held by another client too" in partition_frame(leak, labels, digits.classes).note
    html = explorer.to_html()
    assert "even" in html and html.count("fu-held") >= 4 * 10
    assert explorer.compute(0.3) == partition_frame(fu.partition.dirichlet(labels, 4, 0.3), labels, digits.classes, digits.train.images)


def test_entropy():
    assert entropy([5, 0]) == 0 and entropy([2, 2]) == 1 and entropy([0, 0]) == 0 and entropy([1] * 8) == pytest.approx(3)


def test_the_kept_grid_is_whole_and_the_picture_of_the_idea_comes_from_it():
    grid = explorers.kept_ratio_by_alpha()
    both, one = explorers.ratio_by_alpha(), explorers.ratio_by_alpha(alpha=0.5)
    assert both.knobs[explorers.ALPHA][-1] == float("inf") and {0.1, 0.5, 1.0, 10.0} <= set(both.knobs[explorers.ALPHA])
    assert both.frames[0.4, 0.5] == one.frames[0.4,] and both.frames[0.4, 0.5] != both.frames[0.4, 0.1]
    assert all(row.low <= row.value <= row.high and row.before is not None for frame in both.frames.values() for row in frame.rows)
    assert {row["answer"] for (_, _, group), row in grid.items() if group == explorers.FIFTH} >= {"too little", "as retraining", "too much"}
    picture = explorers.idea_picture()
    assert picture.count("<tr") == 6 and "retrained: the truth" in picture
    with pytest.raises(fu.FucoreError, match="alpha is 0.3, but the kept grid has: 0.1"):
        explorers.ratio_by_alpha(alpha=0.3)


def test_kept_explorers_need_neither_torch_nor_pandas():
    """The front page is rendered where there are none; a fresh process in which they cannot be imported, as the book's extension does it."""
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {pin.partition("==")[0].replace("scikit-learn", "sklearn") for pin in pins}
    there = {line.partition("==")[0] for line in (ROOT / "book" / "requirements-render.txt").read_text().split()}
    mocked = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["autodoc_mock_imports"]
    assert needed - there <= set(mocked), "what is not installed where the recordings are rendered must be mocked there"
    code = """
import sys
from sphinx.ext.autodoc.mock import mock
names = {MOCKED}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in names:
            raise ImportError(name)
with mock(names):
    sys.meta_path.insert(1, Block())
    from fucore import explorers
    print(len(explorers.ratio_by_alpha().to_html()) > 1000, "fu-bar" in explorers.idea_picture())
"""
    result = subprocess.run([sys.executable, "-c", code.replace("{MOCKED}", repr(mocked))], capture_output=True, text=True)
    assert result.stdout.split() == ["True", "True"], result.stderr[-800:]
