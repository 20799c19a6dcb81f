"""Reports as files, as LaTeX, as tidy tables and as printed figures."""

import dataclasses
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.mathtext import MathTextParser

import fucore as fu
from fucore.evaluation.latex import tex
from fucore.evaluation.registry import shown_metrics
from fucore.evaluation.report import Report
from fucore.evaluation.several import MethodReport
from fucore.evaluation.tidy import COLUMNS


@pytest.fixture(scope="module")
def one(judged):
    """A report of one case: a candidate with two runs, and one whose name LaTeX would trip over."""
    case = fu.Case(*judged)
    pruned = [fu.unlearn("fedmemprune", case, ratio=0.4, seed=seed) for seed in range(2)]
    return fu.compare({"FedMemPrune ρ=0.4": pruned, "R&D_100 %": fu.unlearn("fine-tune", case, rounds=1)}, case, bootstrap=50)


@pytest.fixture(scope="module")
def several(judged):
    """A report of two cases with another original each; half widths are those of one degree of freedom."""
    first = fu.Case(*judged)
    cases = [first, fu.case(first.federation, fu.forget.client(1), 6, seed=50, retrained=3)]
    return fu.compare({"tuned": [fu.unlearn("fine-tune", case, rounds=2) for case in cases]}, cases)


@pytest.fixture(params=["one", "several"])
def report(request):
    return request.getfixturevalue(request.param)


def test_reports_are_read_back_to_the_last_bit(report, tmp_path):
    report.save(tmp_path / "kept.v1")
    again = type(report).load(tmp_path / "kept.v1")
    for field in dataclasses.fields(report):
        before, after = getattr(report, field.name), getattr(again, field.name)
        if isinstance(before, pd.DataFrame):
            pd.testing.assert_frame_equal(before, after, check_exact=True, check_dtype=True)
            for column in before.select_dtypes("float"):
                assert before[column].to_numpy().tobytes() == after[column].to_numpy().tobytes(), column
        elif isinstance(before, np.ndarray):
            assert before.dtype == after.dtype and before.tobytes() == after.tobytes()
        else:
            assert before == after and type(before) is type(after)
    assert repr(again) == repr(report) and again.to_latex() == report.to_latex()
    assert all(again.verdict(name) == report.verdict(name) for name in report.summary.candidate if name != "Retrained")
    again.save(tmp_path / "again")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "kept.v1.json").read_bytes()


def test_numbers_that_json_has_no_word_for_survive(tmp_path):
    groups = pd.DataFrame(
        {"candidate": ["a", "b"], "value": [np.nan, -np.inf], "other": [np.inf, np.nextafter(0.1, 1)], "answer": ["≠", None]}
    )
    groups["word"] = groups.answer.astype(object).where(groups.answer.notna(), None)
    Report(groups, groups, np.array([3]), np.array([1 / 3]), "leak", "code", 2).save(tmp_path / "odd")
    json.loads((tmp_path / "odd.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    pd.testing.assert_frame_equal(Report.load(tmp_path / "odd").groups, groups, check_exact=True)


def test_a_report_says_where_its_numbers_come_from(one, several, judged):
    original, retrained, _ = judged
    told = one.origin
    assert told["data_sha256"] == original.federation.data.hash and told["fucore"] == fu.__version__ and "torch" in told
    assert told["federation"]["local"] == dataclasses.asdict(original.federation.local) and told["federation"]["model"] == "cnn"
    assert told["original"]["seed"] == 0 and told["retrained"] == {"seeds": [1, 2, 3, 4], "rounds": 6} and told["forgotten"] == "client 0"
    assert [run["seed"] for run in told["candidates"]["FedMemPrune ρ=0.4"]] == [0, 1]
    assert told["candidates"]["R&D_100 %"][0]["method"] == "fine-tune" and len(told["candidates"]["R&D_100 %"][0]["weights"]) == 64
    assert [case["forgotten"] for case in several.origin["cases"]] == ["client 0", "client 1"]
    assert several.origin["cases"][1]["original"]["seed"] == 50 and several.only("tuned").origin == several.origin


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "harm, sentence",
    [
        (lambda path: path.unlink(), "cannot be read as a report .*No such file"),
        (lambda path: path.write_text(path.read_text()[:-9]), "cannot be read as a report"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "cannot be read as a report"),
        (lambda path: path.write_text("[]"), "is None, but must be a file of the kind 'fucore report 1'"),
        (lambda path: changed(path, lambda content: content.update(format="fucore partition 1")), "is 'fucore partition 1', but must be"),
        (lambda path: changed(path, lambda content: content["groups"][0].update(accuracy=0.125)), "does not match its checksum"),
        (lambda path: changed(path, lambda content: content.pop("scores")), "does not match its checksum"),
        (lambda path: changed(path, lambda content: content.pop("sha256")), "does not match its checksum"),
    ],
)
def test_damaged_and_foreign_files_are_refused_in_a_sentence(one, tmp_path, harm, sentence):
    one.save(tmp_path / "kept")
    harm(tmp_path / "kept.json")
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        Report.load(tmp_path / "kept")
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_report_of_another_kind_is_refused(one, several, tmp_path):
    one.save(tmp_path / "one")
    several.save(tmp_path / "several")
    with pytest.raises(fu.FucoreError, match="is 'fucore report 1', but must be a file of the kind 'fucore report of several cases 1'"):
        MethodReport.load(tmp_path / "one")
    with pytest.raises(fu.FucoreError, match="is 'fucore report of several cases 1', but must be"):
        Report.load(tmp_path / "several")


def test_tidy_numbers(report):
    table = report.to_pandas()
    assert len(table) == len(report.groups) and not table.duplicated(["candidate", "group"]).any()
    assert set(table) <= set(COLUMNS) | {f"{metric.key}{end}" for metric in shown_metrics() for end in ("", "_std")}
    summary = report.summary.set_index("candidate")
    for row in table.itertuples():
        assert row.examples_processed == summary.examples[row.candidate] and row.test_accuracy == summary.test_accuracy[row.candidate]
    assert table.accuracy.equals(report.groups.accuracy)


def planted() -> Report:
    """Two groups of a report made by hand."""
    groups = pd.DataFrame(
        [
            ("Original", "75–100 %", 1.0, 0.5, 0.5, "≠", 0.1),
            ("Original", "0–75 %", 1.0, 0.9, 0.1, "?", 0.1),
            ("Retrained", "75–100 %", 0.5, 0.5, 0.02, None, 0.1),
            ("Retrained", "0–75 %", 0.9, 0.9, np.nan, None, 0.1),
            ("R&D_ρ 40 %", "75–100 %", 0.512, 0.5, 0.012, "=", 0.1),
            ("R&D_ρ 40 %", "0–75 %", 0.85, 0.9, 0.05, "≠", 0.1),
        ],
        columns=["candidate", "group", "accuracy", "retrained", "gap", "answer", "bound"],
    ).assign(examples=4)
    summary = pd.DataFrame(
        {
            "candidate": ["Original", "Retrained", "R&D_ρ 40 %"],
            "test_accuracy": [0.95, 0.94, 0.9],
            "examples": [1000.0, 2000.0, 37000.0],
            "examples_to_target": [np.inf, 2000.0, np.inf],
            "speed_up": [np.nan, 1.0, np.nan],
            "speed_up_below": [np.nan, np.nan, 2.1],
        }
    )
    return Report(groups, summary, np.arange(8), np.zeros(8), "no example is held by two clients", "cross-fitted", 4)


GROUPS = r"""\begin{tabular}{lS[table-format=3.1]S[table-format=2.1]S[table-format=2.1]@{\,}cS[table-format=3.1]S[table-format=2.1]S[table-format=2.1]@{\,}c}
\toprule
 & \multicolumn{4}{c}{75--100 \%} & \multicolumn{4}{c}{0--75 \%} \\
\cmidrule(lr){2-5} \cmidrule(lr){6-9}
 & {acc.} & {gap} & {$\pm$} &  & {acc.} & {gap} & {$\pm$} &  \\
\midrule
Original & 100.0 & 50.0 & 10.0 & $\neq$ & 100.0 & 10.0 & 10.0 & {?} \\
Retrained & 50.0 & 2.0 & 10.0 &  & 90.0 & {--} & 10.0 &  \\
R\&D\_$\rho$ 40 \% & 51.2 & 1.2 & 10.0 & $=$ & 85.0 & 5.0 & 10.0 & $\neq$ \\
\bottomrule
\end{tabular}
"""
SUMMARY = r"""\begin{tabular}{lS[table-format=2.1]S[table-format=2]S[table-format=1]S[table-format=1.1]}
\toprule
 & {test acc.} & {examples, $10^3$} & {to target, $10^3$} & {speed-up} \\
\midrule
Original & 95.0 & 1 & {$>$ 1} & {--} \\
Retrained & 94.0 & 2 & 2 & 1.0 \\
R\&D\_$\rho$ 40 \% & 90.0 & 37 & {$>$ 37} & {$<$ 2.1} \\
\bottomrule
\end{tabular}
"""


def test_latex_of_a_planted_report():
    """Character by character."""
    assert planted().to_latex(caption="") == GROUPS
    assert planted().to_latex("summary", caption="") == SUMMARY
    floating = planted().to_latex(caption=r"What \emph{is} gone.", label="tab:gone")
    assert floating == "\\begin{table*}\n\\centering\n\\caption{What \\emph{is} gone.}\n\\label{tab:gone}\n" + GROUPS + "\\end{table*}\n"


def check_latex(text: str) -> None:
    """What a compiler would trip over: signs, environments, braces, dollars, numbers of cells, and mathematics that cannot be read."""
    assert text.isascii()
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", text):
        opened.append(name) if kind == "begin" else (opened.pop() == name or pytest.fail(name))
    assert not opened
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0 and bare.count("$") % 2 == 0 and not re.search(r"[#~^_%]", re.sub(r"\$[^$]*\$", "", bare).replace("cmidrule(lr)", ""))
    parse = MathTextParser("path").parse
    assert all(parse(f"${formula}$") for formula in re.findall(r"\$([^$]+)\$", bare))
    form = re.search(r"\\begin\{tabular\}\{(.*)\}\n", text).group(1)
    columns = len(re.sub(r"\[[^]]*\]|@\{[^}]*\}", "", form))
    assert re.fullmatch(r"[lcS]+", re.sub(r"\[[^]]*\]|@\{[^}]*\}", "", form))
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) > 2
    for line in lines:
        spans = [int(span) for span in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        assert len(re.split(r"(?<!\\)&", line)) + sum(spans) - len(spans) == columns
    kinds = re.sub(r"\[[^]]*\]|@\{[^}]*\}", "", form)
    for line in text[text.index(r"\midrule") :].splitlines():
        if line.endswith(r"\\"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]
            for kind, cell in zip(kinds, cells):
                assert kind != "S" or re.fullmatch(r"-?\d+(\.\d+)?|\{.*\}", cell), cell


@pytest.mark.parametrize("part", ["groups", "summary"])
def test_latex_of_real_reports_has_nothing_to_trip_over(report, part):
    text = report.to_latex(part)
    check_latex(text)
    assert len([line for line in text.splitlines() if line.startswith(("Original", "Retrained"))]) == 2
    assert "brackets" not in text and r"\caption{Accuracy in per cent in groups of" in text
    accuracy = f"{100 * report.groups.accuracy.iloc[-1]:.1f}"
    assert part == "summary" or f" {accuracy} &" in text


def test_the_check_of_latex_can_fail():
    for wrong in (
        GROUPS.replace("{--}", "–"),
        GROUPS.replace(" & {?}", ""),
        GROUPS.replace(r"\end{tabular}", ""),
        GROUPS.replace(r"\%", "%"),
    ):
        with pytest.raises((AssertionError, ValueError)):
            check_latex(wrong)
    with pytest.raises(AssertionError):
        check_latex(GROUPS.replace("51.2", "51.2 (1)"))


def test_text_in_latex():
    assert tex("≠ – ρ φ α=0.5 ± 3× → 40 %") == r"$\neq$ -- $\rho$ $\varphi$ $\alpha$=0.5 $\pm$ 3$\times$ $\to$ 40 \%"
    assert tex(r"a\b{c}_d^e~f#$&") == r"a\textbackslash{}b\{c\}\_d\textasciicircum{}e\textasciitilde{}f\#\$\&"
    assert tex("é ü ñ ç Š") == "\\'{e} \\\"{u} \\~{n} \\c{c} \\v{S}"
    greek = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
    parse = MathTextParser("path").parse
    assert all(parse(tex(letter)) for letter in greek) and len({tex(letter) for letter in greek}) == len(greek)
    with pytest.raises(fu.FucoreError, match="'字' .* has no LaTeX here"):
        tex("字")
    with pytest.raises(fu.FucoreError, match="caption must be LaTeX in ASCII"):
        planted().to_latex(caption="≠")
    with pytest.raises(fu.FucoreError, match="part is 'all', but must be one of: groups, summary"):
        planted().to_latex("all")


def test_examples_one_by_one(judged):
    case = fu.Case(*judged)
    tuned = [fu.unlearn("fine-tune", case, rounds=1, seed=seed) for seed in range(2)]
    table = fu.examples_table(case, {"tuned": tuned})
    report = fu.compare({"tuned": tuned}, case, bootstrap=0)
    assert np.array_equal(table["index"], report.indices) and np.array_equal(table.score, report.scores)
    assert (table.client == 0).all() and np.array_equal(table.label, case.departed.labels)
    logits = case.federation.logits(case.original.weights, case.departed).double().softmax(1).numpy()
    own = logits[np.arange(len(table)), table.label]
    assert np.allclose(1 / (1 + np.exp(-table.original_log_odds)), own, atol=1e-5)
    assert np.array_equal(table.original_right.astype(bool), logits.argmax(1) == table.label)
    assert set(np.unique(table.retrained_right)) <= {0, 0.25, 0.5, 0.75, 1}
    forget = report.summary.set_index("candidate").forget_accuracy
    assert table.retrained_right.mean() == pytest.approx(forget["Retrained"]) and table["tuned right"].mean() == pytest.approx(
        forget["tuned"]
    )
    with pytest.raises(fu.FucoreError, match="late was unlearned for another request"):
        fu.examples_table(case, {"late": fu.unlearn("fine-tune", case.original, fu.forget.client(1), rounds=1)})
    wide = fu.examples_table(fu.Case(case.original, case.federation.without(BOTH).train_many(6, (1, 2)), BOTH))
    sizes = case.federation.clients.sizes
    assert wide.client.value_counts().to_dict() == {0: sizes[0], 1: sizes[1]}


BOTH = fu.forget.clients(0, 1)


@pytest.mark.parametrize("width, inches", [("column", 3.3), ("page", 6.9)])
def test_printed_figures_are_as_wide_as_asked_and_can_be_read(report, width, inches, tmp_path):
    fu.save_figure(report.plot(width=width), tmp_path / "groups")
    svg, pdf = (tmp_path / "groups.svg").read_text(), (tmp_path / "groups.pdf").read_bytes()
    wide, high = (float(value) for value in re.search(r'<svg[^>]* viewBox="0 0 ([\d.]+) ([\d.]+)"', svg, re.S).groups())
    assert wide == pytest.approx(72 * inches) and high < 72 * 9
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ?(?:\w+ )*([\d.]+)px", svg)]
    assert len(sizes) > 10 and 7 <= min(sizes) and max(sizes) <= 8
    words = re.findall(r"<text[^>]*>([^<]*)", svg)
    assert set(report.groups.group) <= set(words) and "Original" in words, "text is text"
    box = [float(value) for value in re.search(rb"/MediaBox \[ ([\d. ]+)\]", pdf).group(1).split()]
    assert box[2] == pytest.approx(72 * inches)
    assert b"/Type42" in pdf or b"/CIDFontType2" in pdf
    assert b"/Subtype /Type3" not in pdf and b"/FontFile2" in pdf
    streams = b"".join(unpacked(part) for part in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S))
    sizes = [float(size) for size in re.findall(rb"/F\S+ ([\d.]+) Tf", streams)]
    assert len(sizes) > 10 and 7 <= min(sizes) and max(sizes) <= 8


def unpacked(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


@pytest.mark.parametrize("width", ["column", "page"])
def test_nothing_is_cut_off_or_overlaps_in_a_printed_figure(report, width):
    figure = report.plot(width=width)
    figure.canvas.draw()
    renderer, (right, top) = figure.canvas.get_renderer(), figure.get_size_inches() * figure.dpi
    (axes,), (legend,) = figure.axes, figure.legends
    shown = [*axes.get_xticklabels(), axes.xaxis.label, axes.yaxis.label, *legend.get_texts()]
    for box in (text.get_window_extent(renderer) for text in shown):
        assert -1 <= box.x0 and box.x1 <= right + 1 and -1 <= box.y0 and box.y1 <= top + 1
    ticks = [text.get_window_extent(renderer) for text in axes.get_xticklabels()]
    assert all(left.x1 < other.x0 for left, other in zip(ticks, ticks[1:]))
    assert not legend.get_window_extent(renderer).overlaps(axes.get_window_extent(renderer))


def test_saved_figures_are_the_same_bytes_again(tmp_path):
    for name in "ab":
        fu.save_figure(planted_figure(), tmp_path / name, width="column")
    for ending in ("pdf", "svg"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def planted_figure():
    figure, axes = plt.subplots(figsize=(9, 3))
    axes.plot([1, 2], label="a")
    axes.set_title("a title of many words that is much too long for a narrow column of a paper, so that it must be broken")
    figure.legend()
    return figure


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda path: fu.save_figure(planted_figure(), path / "a.pdf"), "leave the ending out"),
        (lambda path: fu.save_figure(planted_figure(), path / "a", width="wide"), "width is 'wide', but must be one of: column, page"),
        (lambda path: fu.save_figure(3, path / "a"), "figure is 3, but must be a figure"),
        (lambda path: fu.save_figure(planted_figure(), path), "cannot be written"),
    ],
)
def test_figures_that_cannot_be_saved_say_why(act, sentence, tmp_path):
    (tmp_path.parent / f"{tmp_path.name}.pdf").mkdir(exist_ok=True)
    with pytest.raises(fu.FucoreError, match=sentence):
        act(tmp_path)
