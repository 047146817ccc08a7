"""The report in a real browser: it loads nothing, tables sort, pictures show, telephones need no sideways scrolling."""

import os
import shutil

import pytest

from masklam_agents.benchmark.leaderboard import write_leaderboard
from masklam_agents.benchmark.report import write_report
from masklam_agents.benchmark.results import Machine
from tests.benchmark.helpers import make_result, make_results, write_results

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def browser():
    """Chromium: $MASKLAM_CHROMIUM, the system's, or the one that `playwright install chromium` fetched."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    found = os.environ.get("MASKLAM_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    with playwright.sync_playwright() as running:
        if found is None and not os.path.exists(running.chromium.executable_path):
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        # Chromium refuses its sandbox to root, who runs containers; the page is ours.
        started = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A report and a leaderboard with long names and text that looks like markup."""
    folder = tmp_path_factory.mktemp("browser")
    methods = {"lapo": (0.8, 0.05), "masklam-with-a-rather-long-name": (0.35, 0.4), "bc-labels": (None, 0.3)}
    results = make_results(methods, seeds=2, variables=({"labels": 512}, {"labels": 8192}))
    odd = [
        make_result(0.7, seed=5, variables={"mask_source": text}, machine=Machine(HOSTILE, 1))
        for text in (HOSTILE, "b")
    ]
    failed = make_result(seed=9, status="failed", error="ValueError: " + "word" * 200, variables={"labels": 512})
    runs = write_results(folder / "runs", [*results, *odd, failed])
    write_report([runs], folder / "report", repetitions=200, gallery=6)
    write_leaderboard([runs], folder / "board.html")
    return {"report": folder / "report" / "index.html", "leaderboard": folder / "board.html"}


@pytest.fixture
def open_page(browser, files):
    """Open one of the files; what the browser complained about and asked for is kept and looked at in the end."""
    contexts, complaints, requests = [], [], []

    def opened(name="report", width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 844}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(files[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    allowed = ("data:", *(path.as_uri() for path in files.values()))
    assert [url for url in requests if not url.startswith(allowed)] == []


COLUMN = """([table, place]) => {
    const rows = [...document.querySelectorAll("table.sortable")[table].tBodies[0].rows];
    return rows.map((row) => row.cells[place].dataset.v ?? row.cells[place].textContent);
}"""


def column(page, table, place):
    return page.evaluate(COLUMN, [table, place])


@pytest.mark.parametrize("name", ["report", "leaderboard"])
def test_a_click_on_a_head_sorts(open_page, name):
    page = open_page(name)
    place = 1 if name == "report" else 6
    head = page.locator("table.sortable").first.locator("thead th").nth(place)
    numbers = [float(text) for text in column(page, 0, place) if text]
    assert len(set(numbers)) > 1
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text) for text in column(page, 0, place) if text] == sorted(numbers)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    values = column(page, 0, place)
    assert [float(text) for text in values if text] == sorted(numbers, reverse=True)
    assert values[len(numbers) :] == [""] * (len(values) - len(numbers))  # without a value: at the end, either way


def test_every_table_sorts_by_keyboard_and_by_text(open_page):
    page = open_page()
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    tables = page.locator("table.sortable")
    for table in range(tables.count()):
        before = column(page, table, 0)
        tables.nth(table).locator("thead th button").first.press("Enter")
        assert column(page, table, 0) == sorted(before, key=str.lower)


def test_pictures_load(open_page):
    page = open_page()
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(widths) == 12
    assert min(widths) > 0
    boxes = page.evaluate("[...document.querySelectorAll('svg')].map((svg) => svg.getBoundingClientRect().width)")
    assert len(boxes) > 10
    assert min(boxes) > 200


@pytest.mark.parametrize("width", [390, 320])
@pytest.mark.parametrize("name", ["report", "leaderboard"])
def test_a_telephone_needs_no_sideways_scrolling(open_page, name, width):
    page = open_page(name, width=width, has_touch=True, is_mobile=True)
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.innerWidth") == width  # it was not zoomed out either
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 16


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_take_the_colours_of_the_page(open_page, scheme):
    page = open_page(color_scheme=scheme)
    ink, ground = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    fills = set(page.evaluate("[...document.querySelectorAll('svg text')].map((text) => getComputedStyle(text).fill)"))
    assert fills == {ink}
    assert (sum(rgb(ink)) > sum(rgb(ground))) == (scheme == "dark")


def rgb(text):
    return [int(part) for part in text.strip("rgb()").split(",")]


def test_links_lead_somewhere(open_page):
    page = open_page()
    targets = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href').slice(1))"
    )
    assert len(targets) >= 7
    assert all(page.evaluate("(id) => document.getElementById(id) !== null", target) for target in targets)
