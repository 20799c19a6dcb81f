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


@pytest.mark.parametrize("page", ["book/introduction", "book/explorer", *PAGES])
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


class Shown:
    """An explorer on a page, turned as a reader would: with the keyboard, the mouse, a finger."""

    def __init__(self, browser, name):
        from selenium.webdriver.common.by import By

        self.browser, self.box = browser, browser.find_element(By.ID, name)
        self.find = lambda selector: self.box.find_elements(By.CSS_SELECTOR, selector)
        self.data = json.loads(self.find("script")[0].get_attribute("textContent"))

    def press(self, knob, *keys):
        self.find(".fu-knob input")[knob].send_keys(*keys)

    def choose(self, words):
        """Click the button or radio with these words."""
        (found,) = [each for each in self.find(".fu-button, .fu-choice label") if each.text == words]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
        found.click()

    def words(self, selector):
        return [element.get_attribute("textContent") for element in self.find(selector)]

    @property
    def setting(self):
        return self.words(".fu-knob output")

    def part(self, kind, name, key, view=0):
        (panel,) = [panel for panel in self.data["views"][view]["panels"] if panel["kind"] == kind]
        return panel["parts"][name]["frames"][key]


@pytest.mark.parametrize("width, dark", [(1300, False), (390, True)])
@pytest.mark.parametrize(
    "page, name, all_of_it", [("book/introduction", "ratio-by-alpha-compact", False), ("book/explorer", "ratio-by-alpha", True)]
)
def test_both_knobs_turn_every_picture_without_kernel_or_network(browser, book, page, name, all_of_it, width, dark):
    from selenium.webdriver.common.keys import Keys

    visit(browser, book, f"{page}.html", width, dark)
    shown, judged = Shown(browser, name), "all cases"
    assert shown.setting == ["0.4", "0.5"]
    for key in (Keys.HOME, Keys.END):
        shown.press(0, key)
        shown.press(1, key)
        rho, alpha = shown.setting
        assert (rho, alpha) == (("0", "0.1") if key == Keys.HOME else ("1", "even"))
        answer, note, _ = shown.part("say", "say", f"{rho}|{alpha}|{judged}")
        assert shown.words(".fu-answer") == [answer] and shown.words(".fu-panel-say .fu-note") == [note]
        own = shown.part("rows", "own", f"{rho}|{alpha}|{judged}")
        dots = [
            float(each.get_attribute("style").partition("left: ")[2].partition("%")[0]) for each in shown.find(".fu-panel-rows .fu-dot")
        ]
        assert dots == pytest.approx([row[0] for row in own])
        held = shown.part("held", "held", alpha)
        assert shown.words(".fu-panel-held .fu-value") == [row["text"] for row in held] and len(shown.find(".fu-leaving")) == 1
        if all_of_it:
            (points,) = [line["points"] for line in shown.part("curves", "own", f"{rho}|{alpha}")]
            assert len(shown.find(".fu-curve.fu-own circle")) == len(points)
            assert (
                len(shown.find(".fu-tile")) == 96 and "images here that most retrained models get wrong" in shown.words(".fu-wall-say")[0]
            )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert all(each.size["width"] > 100 and each.size["height"] >= 24 for each in shown.find(".fu-knob input")), (
        "wide and high enough for a thumb"
    )
    assert all(each.size["height"] >= 24 for each in shown.find(".fu-button:not([hidden]), .fu-choice label"))
    shown.choose("embedded digits")
    assert shown.words(".fu-panel-held .fu-label")[0].startswith("client 0") and shown.setting[0] == "1", (
        "the setting stays where both have it"
    )


def test_the_answer_turns_with_the_knobs_of_the_front_page_above_the_fold(browser, book):
    """Too little is forgotten when nothing is reset, too much when everything is."""
    visit(browser, book, "book/introduction.html", 1300)
    shown, answers = Shown(browser, "ratio-by-alpha-compact"), []
    shown.choose("embedded digits")
    for words in ("only fine-tune", "reset everything"):
        shown.choose(words)
        answers += shown.words(".fu-answer")
    assert answers == ["Too little forgotten", "Too much forgotten"]
    visit(browser, book, "book/introduction.html", 1300)
    ends = "return document.querySelector('#ratio-by-alpha-compact .fu-panel-rows').getBoundingClientRect().bottom"
    assert browser.execute_script(ends) < 900, "seen without scrolling"


def test_guess_first_hides_what_is_to_be_guessed_and_says_whether_it_was_right(browser, book):
    visit(browser, book, "notebooks/01_erase_one_client.html", 1300)
    shown = Shown(browser, "ratio-digits")
    visible = lambda: shown.find(".fu-panel-rows .fu-dot")[0].value_of_css_property("visibility")
    shown.choose("reset everything")
    shown.choose("Guess first")
    assert visible() == "hidden" and shown.find(".fu-answer")[0].value_of_css_property("visibility") == "hidden"
    shown.choose("Too much forgotten")
    assert visible() == "visible" and shown.words(".fu-guess b") == ["Right."]
    shown.choose("only fine-tune")
    assert visible() == "hidden", "every new setting is guessed anew"
    shown.choose("As retraining")
    assert shown.words(".fu-guess b") == ["It is: too little forgotten."]
    shown.choose("Stop guessing")
    assert visible() == "visible"


def test_a_link_carries_the_setting(browser, book):
    visit(browser, book, "book/explorer.html", 1300)
    shown = Shown(browser, "ratio-by-alpha")
    shown.choose("embedded digits")
    shown.choose("even")
    shown.choose("reset everything")
    shown.choose("one case")
    shown.choose("Link to this setting")
    address = browser.current_url
    visit(browser, book, "book/introduction.html", 1300)
    browser.get(address)
    again = Shown(browser, "ratio-by-alpha")
    assert again.setting == ["1", "even"] and again.words(".fu-answer") == [again.part("say", "say", "1|even|one case", view=1)[0]]
    chosen = [each.get_attribute("value") for each in again.find("input[type=radio]") if each.is_selected()]
    assert chosen == ["embedded digits", "one case"]


@pytest.mark.parametrize("width, dark", [(1300, True), (390, False)])
def test_the_wall_of_images_turns_with_the_ratio_and_shows_one_image_in_full(browser, book, width, dark):
    from selenium.webdriver.common.keys import Keys

    visit(browser, book, "notebooks/01_erase_one_client.html", width, dark)
    shown = Shown(browser, "ratio-digits")
    shown.choose("only fine-tune")
    sheet, right = shown.part("wall", "sheet", ""), shown.part("wall", "right", "0")
    unknown = [bits.count("1") < sheet["models"] / 2 for bits in sheet["retrained"]]
    still = sum(each and bit == "1" for each, bit in zip(unknown, right))
    tiles = shown.find(".fu-tile")
    assert f"and {still} still known" in shown.words(".fu-wall-say")[0] and still >= 3
    assert sum("fu-still" in tile.get_attribute("class") for tile in tiles) == still
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", tiles[0])
    tiles[0].click()
    tiles[0].send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == tiles[1] and f"{sheet['scores'][1]:.2f}" in shown.words(".fu-what")[0]
    assert shown.words(".fu-dots span")[0].count("●") == sheet["retrained"][1].count("1")
    assert [tile.get_attribute("tabindex") for tile in tiles].count("0") == 1, "one stop for the tab key"
    assert all(sheet["classes"][label] in tile.get_attribute("aria-label") for label, tile in zip(sheet["labels"], tiles))
    across = {round(tile.rect["x"]) for tile in tiles}
    assert (len(across) == 8 if width == 390 else len(across) > 12) and min(tile.rect["width"] for tile in tiles) >= 24


@pytest.mark.parametrize("width, dark", [(1300, False), (390, True)])
def test_any_two_methods_side_by_side(browser, book, width, dark):
    from selenium.webdriver.support.ui import Select

    visit(browser, book, "notebooks/05_all_methods.html", width, dark)
    shown = Shown(browser, "methods")
    first, second, across, _ = (Select(each) for each in shown.find("select"))
    first.select_by_visible_text("NoT")
    second.select_by_visible_text("Fine-tuning")
    across.select_by_visible_text("share forgotten φ")
    (rows,) = [panel for panel in shown.data["views"][0]["panels"] if panel["kind"] == "rows"]
    signs = [[row[3] for row in rows["parts"][which]["frames"][name]] for which, name in (("a", "NoT"), ("b", "Fine-tuning"))]
    assert [(value.split()[1], value.split()[4]) for value in shown.words(".fu-panel-rows .fu-value")] == list(zip(*signs))
    assert shown.words(".fu-panel-dots .fu-note")[0].startswith("NoT is surely closer to retraining than Fine-tuning.")
    assert "share forgotten φ" in shown.words(".fu-panel-dots svg text")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_alpha_alone_moves_who_holds_what(browser, book):
    from selenium.webdriver.common.keys import Keys

    visit(browser, book, "notebooks/02_data_and_partitions.html", 390, dark=True)
    shown = Shown(browser, "partition")
    texts = []
    for key in (Keys.HOME, Keys.END):
        shown.press(0, key)
        texts.append(shown.words(".fu-panel-held .fu-value"))
        assert texts[-1] == [row["text"] for row in shown.part("held", "held", shown.setting[0])]
    assert texts[0] != texts[1] and len(shown.find(".fu-leaving")) == 1


def test_which_units_and_how_many(browser, book):
    visit(browser, book, "notebooks/11_fedcccu.html", 1300)
    shown = Shown(browser, "silenced")
    before = shown.words(".fu-note")
    shown.choose("chance")
    assert shown.words(".fu-note") == [shown.part("say", "say", f"{shown.setting[0]}|chance")[1]] != before


def test_an_explorer_prints_as_a_table_and_is_one_without_a_script(browser, book):
    visit(browser, book, "book/explorer.html", 1300)
    shown = Shown(browser, "ratio-by-alpha")
    assert not shown.find(".fu-numbers")[0].is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert shown.find(".fu-numbers")[0].is_displayed() and not shown.find(".fu-panels")[0].is_displayed()
        own = shown.part("rows", "own", "0.4|0.5|all cases")
        cells = [row.find_elements("css selector", "td")[0].text for row in shown.find(".fu-numbers tr")[1:]]
        assert [cell.split(" %")[0] for cell in cells] == [f"{row[0]:.0f}" if row[0] >= 10 else f"{row[0]:.1f}" for row in own]
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((book / "book/explorer.html").as_uri())
        assert "Dirichlet α: 0.5" in browser.find_element("css selector", "#ratio-by-alpha .fu-numbers").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


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
