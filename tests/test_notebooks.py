"""The recorded notebooks are honest runs of their text twins, run today as they ran then, and answer bad parameters with a sentence."""

import json
import pathlib
import re
import subprocess
import sys
import types

import jupytext
import nbformat
import papermill
import pytest
from build_book import build, executing, texts
from nbval.plugin import IPyNbCell

from notebooks import ROOT, TEXTS, parameters_cell

both = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)


def recording(text):
    return nbformat.read(text.with_suffix(".ipynb"), 4)


@pytest.fixture(scope="session")
def failed():
    """Every chapter executed as ``make book`` does, or taken from there if nothing changed since; the sentences of what failed."""
    with build.alone():
        return executing.execute_all()


class Comparison:
    """nbval's comparison of outputs, for notebooks that are executed already."""

    parent = types.SimpleNamespace(skip_compare=("metadata", "execution_count", "output_type", "name", "image/svg+xml"))
    colors = types.SimpleNamespace(FAIL="", ENDC="", OKGREEN="", OKBLUE="", WARNING="")
    sanitize = staticmethod(lambda text: text)
    compare_outputs = IPyNbCell.compare_outputs

    def format_output_compare(self, key, recorded, new):
        self.comparison_traceback.append(f"{key}: recorded {recorded!r}, now {new!r}")

    def differences(self, new, recorded):
        """What differs, in nbval's words; empty if nothing does."""
        self.comparison_traceback = []
        return "" if self.compare_outputs(new, recorded) else "\n".join(self.comparison_traceback)


@pytest.mark.long
@both
def test_a_chapter_runs_and_its_checked_outputs_are_the_recorded_ones(text, failed):
    assert not [sentence for sentence in failed if sentence.startswith(text.stem)], failed
    executed = nbformat.read(executing.FOLDER / f"{text.stem}.ipynb", 4)
    assert executing.why_stale(text) is None
    for new, recorded in zip(executed.cells, recording(text).cells, strict=True):
        assert new.id == recorded.id
        if "nbval-check-output" in recorded.metadata.get("tags", []):
            assert recorded.outputs and not (differences := Comparison().differences(new.outputs, recorded.outputs)), differences


def test_a_changed_number_is_noticed():
    text = next(text for text in TEXTS if "nbval-check-output" in text.read_text())
    cell = next(cell for cell in recording(text).cells if "nbval-check-output" in cell.metadata.get("tags", []))
    changed = nbformat.from_dict(
        json.loads(re.sub(r"(\d)(?=[^\d]*$)", lambda digit: str((int(digit[1]) + 1) % 10), json.dumps(cell.outputs[-1])))
    )
    assert not Comparison().differences([*cell.outputs[:-1], cell.outputs[-1]], cell.outputs)
    assert Comparison().differences([*cell.outputs[:-1], changed], cell.outputs)


@both
def test_recording_is_of_this_text(text):
    written, recorded = texts.unexecuted(text), recording(text)
    assert [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in written.cells] == [
        (cell.cell_type, cell.source, cell.metadata.get("tags"))
        for cell in recorded.cells
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ], "run 'make record'"
    assert [cell.id for cell in written.cells] == [cell.id for cell in recorded.cells]


def test_a_recording_older_than_what_it_reads_is_refused():
    recorded = json.loads((ROOT / "notebooks" / "recorded.json").read_text())
    assert build.stale(recorded) == []
    last, first = "13_papers_beside_reproduction", "01_erase_one_client"
    assert recorded[last]["reads"] and recorded[first]["file"]
    for chapter, kind, sentence in (
        (first, "text", "of another text"),
        (first, "file", "with another fucore/"),
        (last, "reads", "another finding"),
    ):
        changed = json.loads(json.dumps(recorded))
        if kind == "text":
            changed[chapter]["text"] = ""
        else:
            changed[chapter][kind][next(iter(changed[chapter][kind]))] = ""
        (reason,) = build.stale(changed)
        assert chapter in reason and sentence in reason
    changed = json.loads(json.dumps(recorded))
    del changed[first]
    assert f"{first}.ipynb is a recording of another text" in build.stale(changed)[0]


@both
def test_recording_is_complete_in_order_and_clean(text):
    recorded = recording(text)
    code = [cell for cell in recorded.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(output.get("name") != "stderr" for output in outputs)
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "image/svg+xml" in kinds and not kinds & set(texts.WIDGETS)
    text_of = nbformat.writes(recorded)
    assert " at 0x" not in text_of and str(ROOT) not in text_of
    assert texts.normalised(nbformat.from_dict(recorded)) == recorded, "normalising again changes nothing"


@both
def test_structure(text):
    notebook = jupytext.read(text)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "parameters" in code[0].metadata.tags and parameters_cell(notebook) is code[0]
    assert re.search(r"fu\.params\.check\(\s*globals\(\)", code[1].source)
    assert "p.provenance(fed)" in code[-1].source


@both
def test_cells_are_short(text):
    """What takes more than a few lines has a name, a docstring and a test in the library."""
    code = [cell for cell in jupytext.read(text).cells if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])]
    for cell in code:
        lines = cell.source.splitlines()
        assert len(lines) <= 15, f"{len(lines)} lines: {lines[0]}"
        assert max(map(len, lines)) <= 110, max(lines, key=len)


@both
def test_code_is_formatted_and_linted(text, tmp_path):
    written = text.read_text()
    assert texts.formatted(texts.with_comments(written)) == written, "run 'python book/build.py cells'"
    path = tmp_path / f"{text.stem}.ipynb"
    nbformat.write(texts.unexecuted(text), path)
    command = [pathlib.Path(sys.executable).with_name("ruff"), "check", "--config", ROOT / "pyproject.toml", "--ignore", "B018"]
    result = subprocess.run([*command, "--config", "extend-exclude = []", path], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_recordings_together_are_small():
    assert sum(text.with_suffix(".ipynb").stat().st_size for text in TEXTS) < 1.5e6 * len(TEXTS)


@pytest.mark.parametrize(
    "chapter, name, value, sentence",
    [
        ("01_erase_one_client", "pruning_ratio", "1.5", "pruning_ratio is 1.5, but must be a number in [0, 1], or auto."),
        ("06_ablations", "alfa", "0.1", "alfa is not a parameter of this notebook; it has: alpha,"),
        ("10_three_routes", "inherit", "nothing", "inherit is 'nothing', but must be one of: anchored, current."),
    ],
)
@pytest.mark.long
def test_papermill_stops_at_once_with_a_sentence(chapter, tmp_path, name, value, sentence):
    """That every chapter checks its parameters first is tested above; here, how it looks to who got one wrong."""
    text = ROOT / "notebooks" / f"{chapter}.md"
    command = [
        sys.executable,
        "-m",
        "papermill",
        text.with_suffix(".ipynb"),
        tmp_path / "out.ipynb",
        "-p",
        name,
        value,
        "--no-progress-bar",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0 and sentence in result.stderr
    executed = nbformat.read(tmp_path / "out.ipynb", 4)
    failed = next(cell for cell in executed.cells if any(output.output_type == "error" for output in cell.get("outputs", [])))
    assert "params.check" in failed.source
    (error,) = [output for output in failed.outputs if output.output_type == "error"]
    assert len(error.traceback) == 1, "one sentence, no stack"


@pytest.mark.long
def test_papermill_runs_with_other_parameters(tmp_path):
    """A whole page with other data, sizes and seeds: quick, since the digits are small."""
    chosen = {
        "dataset": "digits",
        "alpha": 1.0,
        "pruning_ratio": 0.6,
        "seed": 3,
        "clients": 4,
        "rounds": 3,
        "recovery_rounds": 2,
        "retrained_models": 3,
        "unlearning_seeds": 1,
        "model": "mlp",
    }
    out = papermill.execute_notebook(
        TEXTS[0].with_suffix(".ipynb"), tmp_path / "out.ipynb", parameters=chosen, cwd=tmp_path, progress_bar=False
    )
    text = nbformat.writes(out)
    assert "FedMemPrune ρ=0.6" in text and "4 clients" in text
