"""The rendered book: complete, linked, from no other host, and alive in a real browser without a network."""

import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import jupytext
import pytest
import yaml

from notebooks import ROOT, TEXTS, parameters_cell

pytestmark = pytest.mark.long
CHAPTERS = [chapter for part in yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"] for chapter in part["chapters"]]
PAGES = [page["file"] for chapter in CHAPTERS for page in (chapter, *chapter.get("sections", ()))]
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def book():
    """Rendered from the recordings, with warnings as errors."""
    result = subprocess.run([sys.executable, ROOT / "book" / "build.py", "render"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return ROOT / "_build" / "html"


class Links(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag in ("script", "img", "iframe", "source") and attributes.get("src"):
            self.loads.append(attributes["src"])
        if tag == "link" and attributes.get("rel") not in ("canonical", "search", "index", "next", "prev"):
            self.loads.append(attributes.get("href", ""))


@pytest.fixture(scope="session")
def pages(book):
    return {path: Links(path) for path in book.rglob("*.html") if "_static" not in path.parts}


def test_every_chapter_is_rendered_with_its_outputs(book):
    for page in PAGES:
        text = (book / f"{page}.html").read_text()
        assert "<h1>" in text
        if page.startswith("notebooks/"):
            assert text.count("cell_output") >= 5, "rendered without outputs: was it executed?"
    assert {f"notebooks/{text.stem}" for text in TEXTS} == {page for page in PAGES if page.startswith("notebooks/")}


def test_every_link_leads_somewhere(pages):
    for path, found in pages.items():
        for link in found.links:
            target = urllib.parse.urlsplit(link)
            if target.scheme or target.netloc:
                continue
            file = (path.parent / urllib.parse.unquote(target.path)).resolve() if target.path else path
            assert file.exists(), f"{path.name} links to {link}"
            if target.fragment and file in pages:
                assert urllib.parse.unquote(target.fragment) in pages[file].ids, f"{path.name} links to {link}"


def test_everything_loaded_lies_in_the_book(book, pages):
    for path, found in pages.items():
        for load in found.loads:
            target = urllib.parse.urlsplit(load)
            assert target.scheme in ("", "data") and not target.netloc, f"{path.name} loads {load}"
            assert target.scheme == "data" or (path.parent / target.path).resolve().exists(), f"{path.name} lacks {load}"


def test_a_foreign_host_fails_the_build(book, monkeypatch):
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    import companion

    seen = []
    monkeypatch.setattr(companion.logger, "warning", lambda *words: seen.append(words))
    page, sheet = book / "intruder.html", book / "intruder.css"
    page.write_text('<script src="https://cdn.example.org/x.js"></script><a href="https://fine.example.org">a link may</a>')
    sheet.write_text("@import url(//fonts.example.org/a.css);")
    try:
        companion.forbid_foreign_hosts(type("App", (), {"builder": type("B", (), {"format": "html"}), "outdir": book}), None)
    finally:
        page.unlink()
        sheet.unlink()
    assert [words[-1] for words in seen] == ["cdn.example.org", "fonts.example.org"]


def test_notebook_pages_say_how_to_rerun_them(book):
    for text in TEXTS:
        page = (book / "notebooks" / f"{text.stem}.html").read_text()
        shown = re.search(rf"papermill notebooks/{text.stem}\.ipynb out\.ipynb -p (\w+) ", re.sub(r"<[^>]+>", "", page))
        assert shown and f"\n{shown.group(1)} = " in f"\n{parameters_cell(jupytext.read(text)).source}"
        assert 'class="parameters' in page or "parameters table" in page


def test_figures_carry_no_date(book):
    """What would make a recording differ from run to run; that normalising is stable is tested with the notebooks."""
    images = [path.read_bytes() for path in (book / "_images").glob("*.svg")]
    assert images and not any(b"dc:date" in content for content in images)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        assert not os.environ.get("CI"), "CI must have chromium and chromedriver"
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        *CHROMIUM,
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as window:
        yield window


def visit(browser, book, page, width=1300, dark=False):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    )
    browser.get((book / page).as_uri())


@pytest.mark.parametrize("page", ["book/introduction", *PAGES])
def test_pages_open_offline_without_errors_and_fit_a_phone(browser, book, page):
    for width in (1300, 390):
        visit(browser, book, f"{page}.html", width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors, errors


def test_mathematics_is_typeset_without_a_script(browser, book):
    visit(browser, book, "notebooks/03_memorization_and_gme.html")
    heights = browser.execute_script("return [...document.querySelectorAll('math')].map(each => each.getBoundingClientRect().height)")
    assert len(heights) > 3 and min(heights) > 5
    assert browser.execute_script("return document.fonts.ready.then(() => document.fonts.check('16px \"Book mathematics\"'))")
    assert not browser.execute_script("return document.querySelectorAll('[src*=athjax i]').length")


def test_dark_mode_gives_figures_no_white_card(browser, book):
    visit(browser, book, "notebooks/01_erase_one_client.html", dark=True)
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    background = browser.execute_script("return getComputedStyle(document.querySelector('.cell_output img')).backgroundColor")
    assert background == "rgba(0, 0, 0, 0)"
    explorer = "getComputedStyle(document.querySelector('.fu-explorer').closest('.text_html'))"
    assert browser.execute_script(f"return {explorer}.backgroundColor") == "rgba(0, 0, 0, 0)"
    assert browser.execute_script(f"return {explorer}.color") == browser.execute_script(
        "return getComputedStyle(document.querySelector('.bd-article')).color"
    )


class Sliders:
    """An explorer on a page, moved as a reader would: with the keyboard."""

    def __init__(self, browser, number=0):
        from selenium.webdriver.common.by import By

        self.box = browser.find_elements(By.CSS_SELECTOR, ".fu-explorer")[number]
        self.find = lambda selector: self.box.find_elements(By.CSS_SELECTOR, selector)
        self.data = json.loads(self.find("script")[0].get_attribute("textContent"))

    def press(self, knob, *keys):
        self.find("input")[knob].send_keys(*keys)

    @property
    def state(self):
        words = [element.get_attribute("textContent") for element in self.find("[data-t]")]
        places = [float(element.get_attribute("style").partition("left: ")[2].partition("%")[0]) for element in self.find("[data-x]")]
        return [element.get_attribute("textContent") for element in self.find("output")], words, places

    def expected(self, *places):
        frame = self.data["frames"][",".join(map(str, places))]
        return frame["t"], [place[0] for place in frame["x"]]


@pytest.mark.parametrize("width, dark", [(1300, False), (390, True)])
@pytest.mark.parametrize(
    "page, knobs",
    [
        ("book/introduction", 2),
        ("notebooks/06_ablations", 2),
        ("notebooks/02_data_and_partitions", 1),
        ("notebooks/01_erase_one_client", 1),
    ],
)
def test_sliders_move_the_picture_without_kernel_or_network(browser, book, page, knobs, width, dark):
    from selenium.webdriver.common.keys import Keys

    visit(browser, book, f"{page}.html", width, dark)
    sliders = Sliders(browser)
    assert len(sliders.data["knobs"]) == knobs
    shown, words, places = sliders.state
    for knob in range(knobs):
        sliders.press(knob, Keys.HOME)
    first = sliders.state
    assert first[0] == [knob["values"][0] for knob in sliders.data["knobs"]]
    assert [first[1], first[2]] == list(sliders.expected(*[0] * knobs)) and first[1:] != (words, places)
    for knob in range(knobs):
        sliders.press(knob, Keys.END, Keys.ARROW_LEFT)
    last = [len(knob["values"]) - 2 for knob in sliders.data["knobs"]]
    assert list(sliders.state[1:]) == list(sliders.expected(*last))
    assert all(element.size["width"] > 100 for element in sliders.find("input")), "wide enough for a thumb"


def test_the_answer_turns_with_the_knobs_of_the_front_page(browser, book):
    """Too little is forgotten when nothing is reset, too much when everything is."""
    from selenium.webdriver.common.keys import Keys

    visit(browser, book, "book/introduction.html", 390)
    sliders = Sliders(browser)
    answers = []
    for key in (Keys.HOME, Keys.END):
        sliders.press(0, key)
        answers.append(sliders.state[1][-2])
    assert answers == ["Too little forgotten", "Too much forgotten"]


@pytest.mark.parametrize("width, dark", [(1300, True), (390, False)])
def test_the_wall_of_images_turns_with_the_model_that_is_asked(browser, book, width, dark):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    visit(browser, book, "notebooks/01_erase_one_client.html", width, dark)
    box = browser.find_element(By.CSS_SELECTOR, ".fu-wall")
    data = json.loads(box.find_element(By.CSS_SELECTOR, "script").get_attribute("textContent"))
    slider, tiles = box.find_element(By.CSS_SELECTOR, "input"), box.find_elements(By.CSS_SELECTOR, ".fu-tile")
    said, told = lambda: box.find_element(By.CSS_SELECTOR, ".fu-say").text, lambda: box.find_element(By.CSS_SELECTOR, ".fu-what").text
    assert len(tiles) == len(data["images"]) == 96 and "ρ = 0.6" in said()
    slider.send_keys(Keys.HOME)
    unknown = [image["retrained"].count("1") <= data["models"] / 2 for image in data["images"]]
    still = sum(right == "1" and each for right, each in zip(data["settings"][0]["right"], unknown))
    assert said().startswith("original, nothing done: of the") and f"and {still} still known" in said()
    assert sum("fu-still" in tile.get_attribute("class") for tile in tiles) == still >= 8
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", tiles[0])
    tiles[0].click()
    tiles[0].send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == tiles[1] and f"{data['images'][1]['score']:.2f}" in told()
    assert [tile.get_attribute("tabindex") for tile in tiles].count("0") == 1, "one stop for the tab key"
    assert all(image["label"] in tile.get_attribute("aria-label") for image, tile in zip(data["images"], tiles))
    across = {round(tile.rect["x"]) for tile in tiles}
    assert (len(across) == 8 if width == 390 else len(across) > 12) and min(tile.rect["width"] for tile in tiles) >= 24


def test_wide_tables_scroll_with_a_cue_and_keep_their_first_column(browser, book):
    visit(browser, book, "notebooks/05_all_methods.html", 390)
    script = """
    var box=[...document.querySelectorAll('.cell_output .text_html')].find(e=>e.scrollWidth>e.clientWidth+20&&e.querySelector('tbody th'));
    var before=box.querySelector('tbody th').getBoundingClientRect().left;box.scrollLeft=200;
    return [before,box.querySelector('tbody th').getBoundingClientRect().left,box.offsetHeight-box.clientHeight]"""
    before, after, bar = browser.execute_script(script)
    assert abs(before - after) <= 1 and bar > 4, "the first column stays, and a bar says that there is more"


def test_picture_of_the_book_is_in_the_readme():
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / image).exists() and pathlib.Path(image).suffix == ".png"
