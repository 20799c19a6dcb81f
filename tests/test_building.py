"""A chapter is executed when what it depends on changed, and only then; a build that fails or is stopped loses nothing."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from build_book import executing, texts

from notebooks import ROOT

pytestmark = pytest.mark.long
FENCE = "```{{code-cell}} ipython3\n{}\n```\n"
HEAD = "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n# {}\n\n"
NOTES = """import fucore as fu
from fucore.companion import ablations
fed = fu.Federation(data := fu.load("digits"), fu.partition.iid(data.train.labels, 3), "mlp")
print(fu.findings.note("W-figure2", {"points between home and another source": 50.0}, "50 points", fed, "a test"))"""
READS = """import fucore as fu
print(len(fu.results.table("all_methods_mnist5k")), len(open("notes.txt").read()))"""
LISTS = """import fucore as fu
print(fu.findings.noted(fu.Store()).loc["W-figure2"].ours)"""
CHAPTERS = {"01_notes": NOTES, "02_reads": READS, "03_lists": LISTS}


def write(project, **chapters):
    for stem, code in chapters.items():
        (project / "notebooks" / f"{stem}.md").write_text(HEAD.format(stem) + "".join(FENCE.format(cell) + "\n" for cell in [code]))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A book of three small chapters with a copy of the library of its own."""
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(ROOT / "fucore", tmp_path / "fucore", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "book").mkdir()
    for script in ("build.py", "executing.py", "texts.py", "kernels.py"):
        shutil.copy(ROOT / "book" / script, tmp_path / "book")
    (tmp_path / "notes.txt").write_text("four")
    (tmp_path / "notebooks" / "timings.json").write_text("{}")
    write(tmp_path, **{f"{stem}": code for stem, code in CHAPTERS.items()})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for module, name, path in (
        (executing, "ROOT", tmp_path),
        (executing, "NOTEBOOKS", tmp_path / "notebooks"),
        (texts, "NOTEBOOKS", tmp_path / "notebooks"),
        (executing, "FOLDER", tmp_path / "_build" / "executed"),
        (executing, "FINDINGS", tmp_path / "_build" / "executed" / "findings"),
    ):
        monkeypatch.setattr(module, name, path)
    return tmp_path


def command(project, *arguments):
    return [sys.executable, project / "book" / "build.py", *(arguments or ["execute"])]


def execute(project, *arguments):
    return subprocess.run(command(project, *arguments), capture_output=True, text=True)


def stale():
    return {text.stem: why for text in texts.twins() if (why := executing.why_stale(text))}


def edited(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def test_only_what_changed_is_executed(project):
    assert set(stale().values()) == {"it was not executed yet"}
    result = execute(project)
    assert result.returncode == 0, result.stderr
    assert stale() == {}
    again = execute(project)
    assert (again.returncode, again.stderr) == (0, ""), "nothing to do, no kernel, nothing said"

    edits = [
        ("notebooks/02_reads.md", "print(", "print(0, ", {"02_reads": "its text changed"}),
        ("notes.txt", "four", "other", {"02_reads": "notes.txt changed"}),
        ("fucore/companion/results/all_methods_mnist5k.csv", "ConDa", "Conda", {"02_reads": "fucore/companion/results/all_me"}),
        ("fucore/companion/ablations.py", "from __future__", "# x\nfrom __future__", {"01_notes": "fucore/companion/ablations.py changed"}),
        ("fucore/errors.py", '"""', '"""\n', dict.fromkeys(CHAPTERS, "fucore/errors.py changed")),
        ("fucore/companion/papers/rules.csv", "full", "fully", {"01_notes": "fucore/companion/papers/rules.csv changed"}),
    ]
    for name, old, new, expected in edits:
        before = (project / name).read_bytes()
        edited(project / name, old, new)
        found = stale()
        if name.endswith("rules.csv"):  # the chapter that lists findings reads the rules as well, to mark what was found by others
            assert found.pop("03_lists")
        assert found.keys() == expected.keys() and all(found[stem].startswith(why) for stem, why in expected.items()), (name, found)
        (project / name).write_bytes(before)
    assert stale() == {}, "undone by content, whatever the dates say"


def test_versions_machine_findings_and_damage_count(project, monkeypatch):
    assert execute(project).returncode == 0
    pin = project / "a_new_pin-2.0.dist-info"
    pin.mkdir()
    (pin / "METADATA").write_text("Metadata-Version: 2.1\nName: a-new-pin\nVersion: 2.0\n")
    fresh = [sys.executable, "-c", "import sys; sys.path.insert(0, 'book'); import executing; print(executing.environment())"]
    with_pin = subprocess.run(fresh, cwd=project, capture_output=True, text=True).stdout.strip()
    shutil.rmtree(pin)
    without = subprocess.run(fresh, cwd=project, capture_output=True, text=True).stdout.strip()
    assert with_pin != without and len(without) == 64
    monkeypatch.setattr(executing, "environment", lambda: with_pin)
    assert set(stale().values()) == {"other versions are installed, or this is another machine"}
    monkeypatch.setattr(executing, "environment", lambda: without)
    assert stale() == {}

    finding = executing.FINDINGS / "W-figure2.json"
    kept = finding.read_text()
    finding.write_text(json.dumps({**json.loads(kept), "content": "of somebody's run"}))
    assert stale() == {"01_notes": "what it found about W-figure2 was overwritten"}
    finding.write_text(kept)
    edited(executing.FOLDER / "02_reads.ipynb", "stream", "streaM")
    assert stale() == {"02_reads": "it was not executed yet"}

    edited(project / "notebooks" / "01_notes.md", "50 points", "51 points")
    result = execute(project)
    assert result.returncode == 0 and stale() == {}
    assert "51 points" in (executing.FOLDER / "03_lists.ipynb").read_text(), "what reads its findings was executed after it"


def test_a_failing_chapter_is_named_and_the_others_finish(project):
    write(project, **{"02_reads": "x = 1\n```\n\n```{code-cell} ipython3\nx / 0"})
    result = execute(project)
    assert result.returncode != 0
    assert "02_reads failed in cell 2: ZeroDivisionError: division by zero" in result.stderr
    assert "2 of 3 chapters were not executed" in result.stderr
    assert stale().keys() == {"02_reads", "03_lists"}, "what lists findings waits for all"
    assert not list(executing.FOLDER.glob("*.running.ipynb")) and not list(executing.FOLDER.glob("*.trace"))
    write(project, **{"02_reads": READS})
    result = execute(project)
    assert result.returncode == 0 and stale() == {}
    assert "01_notes" not in result.stderr, "it was kept"

    edited(project / "fucore" / "errors.py", "import", "imporrt")
    result = execute(project, "execute", "--chapter", "02")
    assert "02_reads failed in cell 1: SyntaxError" in result.stderr, "the server of kernels cannot start; a kernel says why"
    result = execute(project, "execute", "--chapter", "7")
    assert result.returncode != 0 and "'7' is no chapter: choose of 01_notes, 02_reads, 03_lists." in result.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_stopped_leaves_no_process_and_nothing_by_halves(project, how):
    write(project, **{"02_reads": "import time\nopen('started', 'w').close()\ntime.sleep(600)"})
    process = subprocess.Popen(command(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not ((project / "started").exists() and (executing.FOLDER / "01_notes.json").exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 3, "a server, a chapter and its kernel"
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=60)
    psutil.wait_procs(below, timeout=30)
    assert not [each for each in below if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    if how == signal.SIGINT:
        assert said.strip().endswith("Stopped. What is finished is kept; the next call goes on from there.")
    assert stale().keys() == {"02_reads", "03_lists"}
    write(project, **{"02_reads": READS})
    assert execute(project).returncode == 0 and stale() == {}


def test_two_builds_of_one_book_wait_for_each_other(project):
    (project / "_build").mkdir()
    with open(project / "_build" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(command(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert waiting.stdout.readline().strip() == "Waiting for another build of this book to end."
        assert stale().keys() == set(CHAPTERS)
    assert waiting.wait(timeout=120) == 0 and stale() == {}
