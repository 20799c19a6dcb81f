import json
import re
import subprocess
import sys
import threading
import time
import tomllib

import pytest
import yaml

import fucore as fu
from fucore import explorers
from fucore.companion import front, grid
from fucore.companion.holders import entropy, partition_frame
from fucore.companion.live import Desk
from fucore.companion.widgets import EXPORT, Explorer, Knob, Panel, Part, View, logarithmic
from fucore.companion.widgets import front as front_end
from fucore.progress import progress
from notebooks import ROOT

RATIOS, SPREADS = (1.0, 2.0, 3.0), (0.5, float("inf"))


def frame(ratio, spread):
    return {"say.say": ["As retraining", f"at {ratio} and {spread}", "="], "rows.own": [[10.0 * ratio, 5.0, 35.0, "="]]}


def a_view(**options):
    settings = [(ratio, spread) for ratio in RATIOS for spread in SPREADS]
    parts = {name: {key: frame(*key)[name] for key in settings} for name in ("say.say", "rows.own")}
    base = Part(("spread",), {(spread,): [[50.0, 40.0, 60.0, 90.0]] for spread in SPREADS})
    panels = (
        Panel("say", "Answer", {"say": Part(("ratio", "spread"), parts["say.say"])}),
        Panel(
            "rows",
            "Rows",
            {"base": base, "own": Part(("ratio", "spread"), parts["rows.own"])},
            {"rows": ["group"], "own": ["own"], "names": {}},
        ),
    )
    knobs = (Knob("ratio", "ratio ρ", RATIOS, 2.0, stops=(2.5,)), Knob("spread", "spread α", SPREADS, 0.5, stops=(0.25,)))
    return View("kept", knobs, panels, presets={"all": {"ratio": 3.0}}, **options)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


def test_html_holds_every_frame_loads_nothing_and_shows_the_start_without_a_script():
    page = Explorer("two", "Two knobs", [a_view()]).to_html()
    (view,) = data_of(page)["views"]
    assert view["panels"][0]["parts"]["say"]["frames"]["3|even"] == ["As retraining", "at 3.0 and inf", "="]
    assert [knob["values"] for knob in view["knobs"]] == [["1", "2", "3"], ["0.5", "even"]]
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "") and "src=" not in page and "import " not in page
    assert "<td>20 %</td><td>50 %</td>" in page and "at 2.0 and 0.5" in page.split("</script>")[1]
    assert page == Explorer("two", "Two knobs", [a_view()]).to_html(), "byte-stable"


def test_the_page_and_the_widget_have_the_same_script():
    page, widget = Explorer("two", "Two knobs", [a_view()]).to_html(), Explorer("two", "Two knobs", [a_view()]).live()
    assert front_end("js").rstrip().endswith(EXPORT) and widget._esm == front_end("js") and widget._css == front_end("css")
    assert front_end("js").replace(EXPORT, "").strip() in page and "export default" not in page
    assert json.loads(json.dumps(widget.data)) == widget.data, "plain data, with neither infinity nor NaN"


def test_a_recorded_notebook_keeps_html_and_no_widget():
    explorer = Explorer("two", "Two knobs", [a_view(compute=frame)])
    assert set(explorer._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_further_stops_and_views_without_frames_are_for_live_notebooks_only():
    empty = View("mine", (Knob("ratio", "ratio", RATIOS, 1.0),), (Panel("say", "Answer", {"say": Part(("ratio",), {})}),), compute=frame)
    explorer = Explorer("two", "Two knobs", [a_view(compute=frame), empty])
    still, live = explorer.as_data(), explorer.as_data(live=True)
    assert [view["name"] for view in still["views"]] == ["kept"] and [view["name"] for view in live["views"]] == ["kept", "mine"]
    assert still["views"][0]["knobs"][0]["values"] == ["1", "2", "3"]
    assert live["views"][0]["knobs"][0]["values"] == ["1", "2", "2.5", "3"] and live["views"][0]["knobs"][1]["values"] == [
        "0.25",
        "0.5",
        "even",
    ]


def wait_for(sent, condition, seconds=20):
    until = time.monotonic() + seconds
    while not any(map(condition, sent)):
        assert time.monotonic() < until, sent
        time.sleep(0.01)


def test_what_is_asked_for_is_computed_once_and_errors_are_sentences():
    asked, sent = [], []

    def compute(ratio, spread):
        asked.append((ratio, spread))
        if spread == float("inf"):
            raise fu.FucoreError("spread is too large.")
        if ratio == 3.0:
            raise ZeroDivisionError("oh")
        return frame(ratio, spread) | {"rows.own": [[float("nan"), 1 / 3, 2.0, "?"]]}

    desk = Desk([a_view(compute=compute)], sent.append)
    desk.hear({"view": 0, "values": {"ratio": "2.5", "spread": "0.25"}})
    wait_for(sent, lambda message: "frames" in message)
    say, own = sent[-1]["frames"]
    assert say == [0, "say", "2.5|0.25", ["As retraining", "at 2.5 and 0.25", "="]] and own == [
        1,
        "own",
        "2.5|0.25",
        [[None, 0.3333, 2.0, "?"]],
    ]
    desk.hear({"view": 0, "values": {"ratio": "2.5", "spread": "even"}})
    wait_for(sent, lambda message: message.get("error") == "spread is too large.")
    desk.hear({"view": 0, "values": {"ratio": "3", "spread": "0.25"}})
    wait_for(sent, lambda message: message.get("error") == "This setting cannot be computed: ZeroDivisionError: oh")
    before = len(sent)
    desk.hear({"view": 0, "values": {"ratio": "2.5", "spread": "0.25"}})
    wait_for(sent[before:] or sent, lambda message: "frames" in message)
    assert asked == [(2.5, 0.25), (2.5, float("inf")), (3.0, 0.25)]


def test_a_computation_tells_its_progress_and_can_be_cancelled_and_the_next_wish_is_answered():
    sent, begun, steps = [], threading.Event(), []

    def compute(ratio, spread):
        for step in progress(range(1000), "rounds"):
            steps.append((ratio, step))
            begun.set()
            time.sleep(0.01 if ratio == 1.0 else 0)
        return frame(ratio, spread)

    desk = Desk([a_view(compute=compute)], sent.append)
    desk.hear({"view": 0, "values": {"ratio": "1", "spread": "0.25"}})
    assert begun.wait(20)
    wait_for(sent, lambda message: message.get("progress", [0, 0])[1] == 1000 and "rounds" in message["progress"][2])
    desk.hear({"cancel": True})
    wait_for(sent, lambda message: "Cancelled" in message.get("error", ""))
    assert len(steps) < 1000
    desk.hear({"view": 0, "values": {"ratio": "1", "spread": "0.25"}})
    desk.hear({"view": 0, "values": {"ratio": "2", "spread": "0.25"}})
    wait_for(sent, lambda message: message.get("frames", [[0, "", ""]])[0][2] == "2|0.25")
    assert not any(message.get("frames", [[0, "", ""]])[0][2] == "1|0.25" for message in sent), "the older wish was given up"


def test_a_listener_of_one_thread_leaves_bars_elsewhere_alone(capsys):
    assert list(progress([1, 2], "x")) == [1, 2]
    told = []
    from fucore.progress import listener

    token = listener.set(lambda *each: told.append(each))
    try:
        assert list(progress([5, 6], "y", done=1, total=3)) == [5, 6] and told == [("y", 1, 3), ("y", 2, 3)]
    finally:
        listener.reset(token)


def test_logarithmic_stops_end_with_even():
    stops = logarithmic(0.01, 100)
    assert stops[0] == 0.01 and stops[-2:] == (100.0, float("inf")) and {0.1, 0.5, 1.0, 10.0} <= set(stops)
    assert all(1.1 < high / low < 1.4 for low, high in zip(stops, stops[1:-1])), "equal steps of the logarithm"


def test_holes_and_unknown_panels_and_knobs_are_refused():
    knob, half = Knob("ratio", "ratio", RATIOS, 1.0), {(1.0,): ["", "", ""]}
    with pytest.raises(fu.FucoreError, match="say.say has nothing for 2 of 3 settings, and there is no function"):
        View("x", (knob,), (Panel("say", "", {"say": Part(("ratio",), half)}),))
    with pytest.raises(fu.FucoreError, match="kind is 'picture', but must be one of: say"):
        View("x", (knob,), (Panel("picture", ""),))
    with pytest.raises(fu.FucoreError, match="depends on .'alpha',., but the knobs are .'ratio',."):
        View("x", (knob,), (Panel("say", "", {"say": Part(("alpha",), half)}),))
    with pytest.raises(fu.FucoreError, match="needs a view that shows something"):
        Explorer("x", "", [View("x", (knob,), (Panel("say", "", {"say": Part(("ratio",), {})}),), compute=frame)]).to_html()


def test_text_is_escaped():
    explorer = Explorer("two", "</script><script>alert(1)</script>", [a_view()])
    page = explorer.to_html()
    assert "<script>alert" not in page and data_of(page)["title"] == explorer.title


def test_frame_of_a_report(judged):
    original, retrained, request = judged
    case = fu.Case(original, retrained, request)
    run = fu.unlearn("fedmemprune", case, ratio=0.5)
    report = fu.compare({"here": run}, case)
    shown = explorers.ratio_frame(report, "here", case, run)
    groups = report.groups[report.groups.candidate == "here"]
    assert [row[0] for row in shown["rows.own"][:-1]] == pytest.approx((100 * groups.accuracy).tolist())
    assert [row[0] for row in shown["rows.base"][:-1]] == pytest.approx((100 * groups.retrained).tolist())
    assert [row[3] for row in shown["rows.own"][:-1]] == groups.answer.tolist() and shown["say.say"][1] == report.verdict("here")
    assert shown["curves.own"][0]["points"][-1] == [run.history[-1]["round"], 100 * run.history[-1]["test_accuracy"]]
    assert len(shown["curves.reference"][0]["points"]) == retrained[0].config["rounds"]


@pytest.mark.parametrize("name", list(grid.NAMES))
def test_the_kept_grids_are_whole_and_their_answers_are_the_judges(name):
    kept = grid.kept(name)
    alphas = kept.alphas
    assert 0.5 in alphas and alphas[-1] == float("inf") and kept.ratios[0] == 0 and kept.ratios[-1] == 1
    words = {kept.answer(0.5, grid.ALL, ratio) for ratio in kept.ratios}
    assert kept.answer(0.5, grid.ALL, 0.0) == grid.LITTLE and words >= {grid.LITTLE, grid.MUCH}, "it could have come out otherwise"
    rows = fu.results.report(f"ratio_by_alpha_{name}").groups
    for alpha in alphas:
        for ratio in kept.ratios:
            own = rows[(rows.alpha == alpha) & (rows.candidate == f"{ratio:g}")]
            assert own.answer.tolist() == [row["answer"] for row in kept.group(alpha, grid.ALL, ratio)]
        sheet = kept.walls[alpha]
        assert len(sheet["labels"]) == 96 and all(len(bits) == 96 for bits in sheet["right"].values())
        assert all(len(bits) == sheet["models"] for bits in sheet["retrained"]) and sheet["scores"] == sorted(sheet["scores"], reverse=True)
        assert sum(row["leaving"] == "True" for row in kept.holders[alpha]) == len(sheet["classes"])


def test_the_sheet_of_the_embedded_digits_shows_the_clients_own_images_and_answers():
    import base64
    import io

    import numpy as np
    from PIL import Image

    case, sheet = fu.reference("mnist5k").cases[0], grid.kept("digits").walls[0.5]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet["sprite"].partition(",")[2]))))
    side = case.departed.images.shape[-1]
    tiles = picture.reshape(8, side, 12, side).swapaxes(1, 2).reshape(96, side * side)
    held = {image.tobytes(): place for place, image in enumerate(case.departed.images.numpy().reshape(len(case.departed), -1))}
    places = [held[tile.tobytes()] for tile in tiles]
    assert case.departed.labels[places].tolist() == sheet["labels"]
    right = np.stack([case.look(run).right[places] for run in case.retrained])
    assert ["".join("01"[int(each)] for each in column) for column in right.T] == sheet["retrained"]


def row(answer, difference):
    return {"answer": answer, "difference": difference}


@pytest.mark.parametrize(
    "own, before, expected",
    [
        ([row("≠", 0.3), row("=", 0.0)], "≠", grid.LITTLE),
        ([row("≠", -0.3), row("=", 0.0)], "≠", grid.MUCH),
        ([row("≠", 0.3), row("≠", -0.1)], "≠", grid.MIXED),
        ([row("=", 0.0), row("=", 0.0)], "≠", grid.AS),
        ([row("=", 0.0), row("?", 0.0)], "≠", grid.OPEN),
        ([row("=", 0.0), row("=", 0.0)], "?", grid.OPEN),  # there was nothing to forget, so being as retraining shows nothing
        ([row("≠", 0.3), row("=", 0.0)], "=", grid.OPEN),
    ],
)
def test_what_is_said_in_a_word(own, before, expected):
    assert grid.in_a_word(own, [row(before, 0.5), row("=", 0.0)]) == expected


def test_the_explorers_of_the_book_start_whole_and_are_small():
    both, compact = explorers.both(), explorers.both(compact=True)
    assert len(both.to_html().encode()) < 1_500_000 and len(compact.to_html().encode()) < 200_000
    assert [view.name for view in both.views] == list(grid.NAMES.values())
    assert {panel.kind for panel in both.views[0].panels} == {"say", "rows", "held", "curves", "wall"}
    one = explorers.ratio("digits", 0.5)
    assert [knob.key for knob in one.views[0].knobs] == ["rho", "judged"]
    with pytest.raises(fu.FucoreError, match="alpha is 0.3, but the kept grid has: 0.1"):
        explorers.ratio("digits", 0.3)
    with pytest.raises(fu.FucoreError, match="grid is 'letters'"):
        explorers.ratio("letters")


def test_partitions_are_shown_with_entropy_and_audit(digits):
    labels = digits.train.labels
    explorer = explorers.partition(
        lambda alpha: fu.partition.dirichlet(labels, 4, alpha), labels, digits.classes, digits.train.images, leaving=(2,)
    )
    (view,) = explorer.views
    held, say = (panel.parts for panel in view.panels)
    even, odd = (say["say"].frames[alpha,][1] for alpha in (float("inf"), 0.01))
    assert "no example is held by two clients" in even and "Labels of a client: 3.3 bits" in even and odd != even
    for rows in held["held"].frames.values():
        assert sum(sum(each["counts"]) for each in rows) == len(labels) and [each["leaving"] for each in rows] == [
            False,
            False,
            True,
            False,
        ]
    leak = fu.partition.overlapping(labels, 4, seed=1)
    assert "held by another client too" in partition_frame(leak, labels)["say.say"][1]
    assert view.compute(0.3) == partition_frame(fu.partition.dirichlet(labels, 4, 0.3), labels, digits.train.images, (2,))


def test_entropy():
    assert entropy([5, 0]) == 0 and entropy([2, 2]) == 1 and entropy([0, 0]) == 0 and entropy([1] * 8) == pytest.approx(3)


def test_methods_side_by_side_are_those_of_the_report():
    report = fu.results.report("judged_mnist5k")
    explorer = fu.explorer(report, start=("NoT", "Fine-tuning"))
    (view,) = explorer.views
    rows, dots = view.panels
    groups = report.groups.set_index(["candidate", "group"])
    assert [row[3] for row in rows.parts["b"].frames["NoT",]] == groups.loc["NoT"].answer.tolist()
    assert {knob.key: knob.start for knob in view.knobs}["a"] == "NoT" and len(view.knobs) == 4
    points = {point["name"]: point for point in dots.fixed["points"]}
    assert (
        points["NoT"]["forgotten"] == pytest.approx(report.summary.set_index("candidate").forgotten["NoT"])
        and points["Retrained"]["distance"] == 0
    )
    closer = dots.fixed["closer"]
    for one, others in closer.items():
        for other, sign in others.items():
            assert report.closer(one, other).startswith(one if sign == "<" else other) and closer[other][one] == {"<": ">", ">": "<"}[sign]
    assert sum(map(len, closer.values())) > 20


def test_a_report_of_one_case_and_a_sweep_can_be_explored_and_other_things_not(judged):
    case = fu.Case(*judged[:2], judged[2])
    runs = {f"ρ = {ratio}": fu.unlearn("fedmemprune", case, ratio=ratio) for ratio in (0.2, 0.8)}
    page = fu.explorer(fu.compare(runs, case)).to_html()
    assert "mean gap to retraining, points" in page and "ρ = 0.8" in page
    with pytest.raises(fu.FucoreError, match="two methods are needed"):
        fu.explorer(fu.compare({"one": runs["ρ = 0.2"]}, case))
    result = fu.sweep(_work, {"ratio": [0.2, 0.4], "seed": [0, 1], "kind": ["a", "b"]}, jobs=1, store=None)
    (view,) = fu.explorer(result).views
    assert [(knob.key, knob.kind) for knob in view.knobs] == [("ratio", "slider"), ("kind", "list")]
    own = view.panels[0].parts["own"].frames
    assert own[0.4, "b"] == [[pytest.approx(45.0), pytest.approx(40.0), pytest.approx(50.0), ""]]
    with pytest.raises(fu.FucoreError, match="a report .fu.compare. or a sweep .fu.sweep., not list"):
        fu.explorer([])
    with pytest.raises(fu.FucoreError, match="no finished row"):
        fu.explorer(type(result)(result.table.iloc[:0]))


def _work(ratio, seed, kind):
    return {"accuracy": ratio + 0.1 * seed, "note": kind}


def test_the_front_page_says_what_the_kept_tables_say():
    found, judged = front.found(), fu.results.report("judged_mnist5k").summary.set_index("candidate")
    assert found.count("<li>") == 5 and f"{100 * judged.forgotten['Fine-tuning']:.0f} % [" in found
    picture = front.idea_picture()
    assert picture.count("<tr") == 6 and "retrained: the truth" in picture and "fu-bar" in picture


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
    from fucore.companion import front
    print(len(explorers.both().to_html()) > 1000, "fu-bar" in front.idea_picture(), "fu-found" in front.found())
"""
    result = subprocess.run([sys.executable, "-c", code.replace("{MOCKED}", repr(mocked))], capture_output=True, text=True)
    assert result.stdout.split() == ["True", "True", "True"], result.stderr[-800:]
