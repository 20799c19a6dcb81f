"""The rendered book can be read by everybody: words for figures, headers of tables, contrast, the keyboard, and little to load."""

import importlib.util
import json
import pathlib
import re
import sys
import types
import urllib.parse

import jupytext
import pytest
from docutils import nodes
from test_book import PAGES, book, browser, pages, visit  # noqa: F401  fixtures

from notebooks import ROOT, TEXTS

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import finishing  # noqa: E402

#: Chapters whose figures have been drawn with letters large enough for the width of a page.
MEASURED = ("01", "03", "04", "05", "07", "08", "09", "10", "12", "13", "14")
DRAWS = re.compile(r"(_figure\(.*|\.plot\(\)|suptitle\(.*);\s*$", re.DOTALL)
VIEWS = {"light": (1300, False), "dark": (1300, True), "phone": (390, False)}
#: What no page of ours can mend: CSS selector of a node to leave out, and why.
EXEMPT: dict[str, str] = {}


# ---- the texts


def drawing_cells(text):
    return [cell for cell in jupytext.read(text).cells if cell.cell_type == "code" and DRAWS.search(cell.source)]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_every_figure_has_a_name_a_caption_and_words_for_who_does_not_see_it(text):
    cells = drawing_cells(text)
    assert cells, "this chapter has figures"
    for cell in cells:
        shown = cell.metadata.get("mystnb", {})
        figure, alt = shown.get("figure", {}), shown.get("image", {}).get("alt", "")
        assert figure.get("name", "").startswith("fig-") and len(figure.get("caption", "")) > 60 and len(alt) > 60, cell.source


def test_names_of_figures_are_unique():
    names = [cell.metadata["mystnb"]["figure"]["name"] for text in TEXTS for cell in drawing_cells(text)]
    assert len(set(names)) == len(names) >= 40


def test_a_model_looks_the_same_in_every_figure():
    from fucore import plots

    alone = plots.looks(["FedMemPrune ρ=0.4"])["FedMemPrune ρ=0.4"]
    many = plots.looks(["Original", "NoT", "FedMemPrune ρ=0.4", "FedMemPrune ρ=0.6", "Fine-tuning", "FedOSD"])
    assert many["FedMemPrune ρ=0.4"] == alone == (plots.UNLEARNED, "o") and many["Original"][0] == plots.ORIGINAL
    assert len(set(many.values())) == len(many), "two models are never alike"
    assert len({mark for _, mark in plots.looks([str(each) for each in range(8)]).values()}) == 8, "nor told by colour alone"


def test_a_finding_is_text_of_the_page_and_readable_without_one(capsys):
    import fucore as fu
    from fucore.companion.saying import Said

    fu.say("One sentence.", "Another.")
    assert capsys.readouterr().out == "One sentence.\n\nAnother.\n"
    said = Said("**this**")
    assert said._repr_markdown_() == repr(said) == "**this**"


# ---- what is done to pages, by value


def test_headers_say_what_they_head():
    page = "<table><thead><tr><th></th><th colspan='2'>a</th><th>b</th></tr></thead><tbody><tr><th rowspan='2'>x</th><th>y</th><td>1</td></tr></tbody></table>"
    found = re.findall(r"<(t[hd])\b([^>]*)>", finishing.finished(page))
    assert [tag for tag, _ in found] == ["td", "th", "th", "th", "th", "td"]
    assert [re.findall(r'scope="(\w+)"', words) for _, words in found] == [[], ["colgroup"], ["col"], ["rowgroup"], ["row"], []]


@pytest.mark.parametrize("shade, text", [("ffffff", "#000000"), ("000000", "#ffffff"), ("327cb7", "#000000"), ("08306b", "#ffffff")])
def test_numbers_on_shades_are_black_or_white(shade, text):
    style = f"<style>#T_x_row0_col0 {{ background-color: #{shade}; color: #f1f1f1; }}</style>"
    assert f"background-color: #{shade}; color: {text};" in finishing.finished(style)


def test_only_rules_of_classes_that_occur_are_kept():
    sheet = '/*! licence, kept */.a{x:1}.a .gone,.b:hover{x:2}@media print{.gone{x:3}}@media all{.b::after{content:"}.{"}}@font-face{src:url(a.woff)}p>em{x:4}.show-me{x:5}'
    kept = finishing.needed_rules(sheet, {"a", "b"})
    assert kept == (
        '/*! licence, kept */.a{x:1}.b:hover{x:2}@media all{.b::after{content:"}.{"}}@font-face{src:url(a.woff)}p>em{x:4}.show-me{x:5}'
    )


def test_what_is_not_used_is_not_loaded():
    page = (
        '<script src="_static/scripts/fontawesome.js?d=1"></script><script>kernelName = \'python3\'</script><script src="own.js"></script>'
    )
    assert finishing.finished(page) == '<script src="own.js"></script>'


def test_addresses_are_told_only_where_the_book_has_one(tmp_path):
    import companion

    for address, told in (("", False), ("https://example.org/book/", True)):
        folder = tmp_path / str(told)
        folder.mkdir()
        config = types.SimpleNamespace(html_baseurl=address, html_title="The book")
        environment = types.SimpleNamespace(found_docs={"book/b", "book/a"})
        app = types.SimpleNamespace(config=config, outdir=folder, builder=types.SimpleNamespace(format="html"), env=environment)
        companion.map_the_site(app, None)
        sitemap = folder / "sitemap.xml"
        assert sitemap.exists() == told
        assert not told or "<loc>https://example.org/book/book/a.html</loc><" in sitemap.read_text()
        context = {"title": "A <em>page</em>", "pathto": lambda page: f"../{page}.html"}
        companion.introduce(app, "book/a", "page.html", context, nodes.document("", ""))
        assert ('property="og:url" content="https://example.org/book/book/a.html"' in context["metatags"]) == told
        assert ("example.org" in context["metatags"]) == told and 'content="A page"' in context["metatags"]
        (folder / "_static").mkdir()
        finishing.finish(app, None)
        assert ('<base href="https://example.org/book/">' in (folder / "404.html").read_text()) == told


# ---- the pages


@pytest.mark.long
def test_pages_are_described_and_lead_to_licence_and_citation(book, pages):  # noqa: F811
    for page in PAGES:
        text = (book / f"{page}.html").read_text()
        assert re.search(r'<meta content="[^"]{20,}" name="description"', text) and 'property="og:title"' in text
        assert "Cite this page" in text and "#licence" in text
        assert 'rel="canonical"' not in text and "og:url" not in text, "the book has no address"
    assert (book / "404.html").exists() and not (book / "sitemap.xml").exists()


@pytest.mark.long
def test_figures_and_tables_of_pages_have_words(book):  # noqa: F811
    for text in TEXTS:
        page = (book / "notebooks" / f"{text.stem}.html").read_text()
        alts = re.findall(r"<img ([^>]*_images/[^>]*)>", page)
        assert alts and all(re.search(r'alt="[^"]{60,}"', words) for words in alts), text.stem
        assert page.count("caption-number") == len(alts)
        assert not re.search(r"<th(?![^>]*scope=)[ >]", page)


@pytest.mark.long
def test_icons_that_pages_use_are_in_the_small_font(book, pages):  # noqa: F811
    from fontTools.ttLib import TTFont

    held = TTFont(ROOT / "book" / "_static" / "icons.woff").getBestCmap()
    sheet = (book / "_static" / "styles" / "pydata-sphinx-theme.css").read_text()
    assert "icons.woff" in sheet and "fa-solid-900" not in sheet
    used = {name for path in pages for name in re.findall(r"\bfa-(?!solid|lg|brands|regular)[a-z-]+", path.read_text())}
    signs = [re.search(rf'\.{name}:before[^{{]*{{content:"(.+?)"', sheet)[1] for name in used] + re.findall(
        r'--pst-icon-(?!git)[a-z-]+:"(.+?)"', sheet
    )
    assert "fa-bars" in used and len(signs) > 20
    assert all((int(sign[1:], 16) if sign.startswith("\\") else ord(sign)) in held for sign in signs)


def loaded(browser):  # noqa: F811
    """Files that the page in the browser has asked for."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return {
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    }  # the browser's own start page among them


@pytest.mark.long
@pytest.mark.parametrize("page", ["book/introduction", *PAGES])
def test_pages_are_light_and_ask_nobody_else(browser, book, page):  # noqa: F811
    browser.get_log("performance")
    visit(browser, book, f"{page}.html")
    addresses = [urllib.parse.urlsplit(address) for address in loaded(browser)]
    assert not [address for address in addresses if address.scheme in ("http", "https", "ws", "wss")]
    files = [pathlib.Path(urllib.parse.unquote(address.path)) for address in addresses if address.scheme == "file"]
    explorers = re.findall(r'<div class="fu-explorer.*?<script type="module">.*?</script>', (book / f"{page}.html").read_text(), re.S)
    weighs = [sum(path.stat().st_size for path in files), sum(len(each.encode()) for each in explorers)]
    assert len(files) > 10 and weighs[0] - weighs[1] <= 1_000_000 and weighs[0] <= 1_500_000, weighs


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("page", ["book/introduction", *PAGES])
def test_nothing_serious_stands_in_anybodys_way(browser, book, page, view):  # noqa: F811
    """No violation of the accessibility rules of axe-core that is called serious or critical."""
    width, dark = VIEWS[view]
    visit(browser, book, f"{page}.html", width, dark)
    axe = pathlib.Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js")
    browser.execute_script(axe.read_text())
    run = """
    var done = arguments[arguments.length - 1];
    document.getAnimations().forEach(each => each.finish());
    axe.run({exclude: arguments[0].map(each => [each])}, {resultTypes: ["violations"]}).then(found => done(found.violations
      .filter(rule => ["serious", "critical"].includes(rule.impact))
      .map(rule => rule.id + ": " + rule.nodes.map(node => node.target.join(" ") + " " + node.failureSummary).join("; "))))"""
    browser.set_script_timeout(60)
    assert browser.execute_async_script(run, list(EXEMPT)) == []


@pytest.mark.long
def test_letters_in_figures_are_at_least_nine_pixels_high(browser, book):  # noqa: F811
    for text in (text for text in TEXTS if text.stem[:2] in MEASURED):
        visit(browser, book, f"notebooks/{text.stem}.html")
        for address, width in browser.execute_script(
            "return [...document.querySelectorAll('.cell_output img[src$=svg]')].map(image => [image.src, image.getBoundingClientRect().width])"
        ):
            drawn = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path)).read_text()
            box = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])
            sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", drawn)]
            assert sizes and min(sizes) * width / box >= 9, f"{text.stem}: {min(sizes) * width / box:.1f} px in {address}"


@pytest.mark.long
def test_the_search_finds_pages_from_disk_without_an_error(browser, book):  # noqa: F811
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get_log("browser")
    browser.get((book / "search.html").as_uri() + "?q=memorization")
    WebDriverWait(browser, 20).until(lambda window: window.find_elements(By.CSS_SELECTOR, "#search-results li a[href*='03_memorization']"))
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
