"""Where the notebooks are, for the tests."""

import pathlib

ROOT = pathlib.Path(__file__).parents[1]
TEXTS = sorted((ROOT / "notebooks").glob("*.md"))


def parameters_cell(notebook):
    """The one cell tagged ``parameters``."""
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell
