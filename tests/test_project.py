"""The project's own promises: one set of pins, one version, clean imports, no stray paths."""

import pathlib
import re
import subprocess
import sys
import tomllib

import yaml

import fucore as fu
from notebooks import ROOT


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
    """The layers of pyproject.toml, imports inside functions and for type checking included, and no circle among modules."""
    import grimp
    import networkx

    result = subprocess.run(
        [pathlib.Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    graph = grimp.build_graph("fucore", cache_dir=None)
    edges = [(module, other) for module in graph.modules for other in graph.find_modules_directly_imported_by(module)]
    assert not list(networkx.simple_cycles(networkx.DiGraph(edges)))


def test_types_are_clean():
    result = subprocess.run([pathlib.Path(sys.executable).with_name("pyright")], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


def test_no_file_holds_too_much():
    long = {path.name: lines for path in (ROOT / "fucore").rglob("*.py") if (lines := len(path.read_text().splitlines())) > 300}
    assert not long, "more than one idea in each? split them"


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
    numbers = {20: "Twenty", 21: "Twenty-one", 22: "Twenty-two", 23: "Twenty-three", 24: "Twenty-four"}
    assert f"{numbers[len([m for m in fu.METHODS.values() if m.function.__module__.startswith('fucore.')])]} methods are built in" in text
    for target in set(re.findall(r"^make (\w+)", text, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert "make book" in text and "make test" in text
