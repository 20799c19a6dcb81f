"""The project's own promises: one set of pins, one version, clean imports, no stray paths."""

import ast
import pathlib
import re
import subprocess
import sys
import tomllib

import yaml

import fucore as fu
from notebooks import ROOT

ORDER = [
    "errors",
    "progress",
    "_torchvision",
    "rendered",
    "data",
    "sources",
    "partition",
    "domains",
    "forgetting",
    "fingerprint",
    "run",
    "models",
    "units",
    "training",
    "engine",
    "store",
    "federation",
    "findings",
    "sweep",
    "unlearning",
    "evaluation",
    "analysis",
    "papers",
    "results",
    "plots",
    "widgets",
    "explorers",
    "params",
]


def tracked():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in files or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")]]


def test_conda_environment_is_in_step_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(item for item in environment["dependencies"] if str(item).startswith("python="))
    assert project["project"]["requires-python"] == f">={python.removeprefix('python=')}"
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert pip == ["-e .[book,test]"], "pip installs the pins of pyproject.toml and nothing else"
    extras = project["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
    assert {"book", "test", "render"} <= set(extras)
    assert project["project"]["version"] == fu.__version__


def test_every_requirement_is_pinned_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = list(project["project"]["dependencies"])
    for extra in ("render", "book", "test"):
        for file in project["tool"]["setuptools"]["dynamic"]["optional-dependencies"][extra]["file"]:
            pins += (ROOT / file).read_text().split()
    assert all("==" in pin for pin in pins)
    names = dict(pin.split("==") for pin in pins)
    assert all(names[name] == version for name, version in (pin.split("==") for pin in pins)), "one version of each"


def test_importing_is_light():
    """Neither torchvision nor scikit-learn nor matplotlib is loaded before it is needed."""
    code = "import sys, fucore; print([m for m in ('torchvision', 'sklearn', 'matplotlib', 'ipywidgets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


def test_imports_run_one_way():
    """No module imports, at its top, one that stands above it."""
    for path in (ROOT / "fucore").rglob("*.py"):
        here = path.relative_to(ROOT / "fucore").parts[0].removesuffix(".py")
        if here in ("__init__", "__main__"):
            continue
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            inside = len(path.relative_to(ROOT / "fucore").parts) > 1
            local = inside and node.level == 1
            names = [] if local else [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            for name in names:
                assert ORDER.index(name) <= ORDER.index(here), f"{path.name} imports {name}, which stands above it"


def test_no_paths_of_a_machine_in_the_project():
    pattern = re.compile(r"(?<![a-z])/(?:work|root|home/\w+|tmp/\w+)/")
    for path in tracked():
        if path.suffix in (".py", ".md", ".yml", ".toml", ".ipynb", ".json", ".csv") and path.exists() and path != pathlib.Path(__file__):
            assert not pattern.search(path.read_text()), path


def test_code_is_tidy():
    for arguments in (["check", "."], ["format", "--check", "."]):
        result = subprocess.run([sys.executable, "-m", "ruff", *arguments], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-2000:]


def test_the_readme_names_the_commands_that_exist():
    text, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", text, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert "make book" in text and "make test" in text
