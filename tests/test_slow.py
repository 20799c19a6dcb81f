"""Every chapter with other parameters, and in its papers' setting on a few images; ``make test-slow``."""

import nbformat
import papermill
import pytest
from build_book import texts

from notebooks import ROOT, TEXTS, parameters_cell

pytestmark = pytest.mark.slow
both = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)


def run(text, tmp_path, **chosen):
    """Execute a chapter with those of the chosen parameters that it has; returns the text of all that it shows."""
    notebook = texts.unexecuted(text)
    declared = {line.partition(" = ")[0] for line in parameters_cell(notebook).source.splitlines()}
    source = tmp_path / "source.ipynb"
    nbformat.write(notebook, source)
    known = {name: value for name, value in chosen.items() if name in declared}
    out = papermill.execute_notebook(source, tmp_path / "out.ipynb", parameters=known, cwd=ROOT, progress_bar=False)
    return nbformat.writes(out)


@both
def test_other_ratio_split_and_data(text, tmp_path):
    shown = run(text, tmp_path, pruning_ratio=0.6, alpha=0.1, dataset="digits", clients=6)
    assert '"output_type": "error"' not in shown and "nan%" not in shown


@both
def test_papers_setting_on_a_few_images(text, tmp_path):
    """ResNet-18 and the papers' optimiser, on the CPU; 64 pixels a side instead of 224, one round, as few models as the page allows."""
    small = {"train_size": 100, "rounds": 1, "recovery_rounds": 2, "local_epochs": 1, "retrained_models": 3, "unlearning_seeds": 1}
    small |= {"dataset": "digits", "benchmark": "digits-embedded", "clients": 4, "alpha": 10.0, "resize": 64, "attribution_steps": 2}
    shown = run(text, tmp_path, profile="paper", device="cpu", **small)
    assert '"output_type": "error"' not in shown
