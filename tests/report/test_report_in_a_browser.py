"""The page in a real browser, without a window: nothing missing, nothing too wide, usable by keyboard."""

import os
import shutil
from itertools import pairwise

import pytest
from test_report_content import write_predictions
from typer.testing import CliRunner

from nnunet_ext.cli.app import app

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CASES = 200


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report of many cases and two models, one with two trainings."""
    folder = tmp_path_factory.mktemp("report")
    write_predictions(folder / "labelsTs", CASES, 0)
    for seed, (name, share) in enumerate({"a1": 0.05, "a2": 0.06, "b1": 0.02, "b2": 0.03}.items()):
        write_predictions(folder / name, CASES, share, seed)
    labels = '{"labels": {"background": 0, "line": 1}, "file_ending": ".png", "channel_names": {"0": "x"}}'
    (folder / "dataset.json").write_text(labels)
    models = [
        f"{name}={folder / part}"
        for name, part in (
            ("A", "a1"),
            ("A", "a2"),
            ("model with a long name", "b1"),
            ("model with a long name", "b2"),
        )
    ]
    words = [
        "report",
        "-ref",
        folder / "labelsTs",
        "-i",
        folder / "labelsTs",
        "-pred",
        *models,
        "-o",
        folder / "out",
    ]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return folder / "out" / "index.html"


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        reason = "no Chromium or Chrome was found to test the report in; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, page_file):
    """The page at desk width; at the end there was no complaint, and nothing was asked for elsewhere."""
    complaints = []
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:80]))
    page.on(
        "request",
        lambda request: (
            complaints.append(request.url)
            if "://" in request.url and not request.url.startswith("file:")
            else None
        ),
    )
    page.goto(page_file.as_uri())
    yield page
    assert complaints == []
    page.close()


def test_small_enough_to_be_sent(page_file):
    assert page_file.stat().st_size < 20e6


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen_and_all_pictures_are_there(page, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(i => i.src && !(i.complete && i.naturalWidth)).length"
    assert page.evaluate(broken) == 0
    assert page.locator("figure img").count() >= 3
    assert all(image.get_attribute("alt") for image in page.locator("main img").all())


def first_cases(page, number=3):
    return page.locator(".cases:visible tbody tr:visible th").all_inner_texts()[:number]


def values(page, column):
    cells = page.locator(f".cases:visible tbody tr td:nth-child({column})")
    return [float(cell.get_attribute("data-value")) for cell in cells.all()]


def test_sorted_by_a_click(page):
    assert page.locator(".cases:visible").count() == 1
    heading = page.locator(".cases:visible th button", has_text="−")
    heading.click()
    assert values(page, 4) == sorted(values(page, 4))
    assert page.locator('.cases:visible th[aria-sort="ascending"]').count() == 1
    heading.click()
    assert values(page, 4) == sorted(values(page, 4), reverse=True)


def test_sorted_and_searched_by_keyboard(page):
    page.locator("#metric").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".cases:visible caption").inner_text().startswith("Beta0Error")
    page.keyboard.press("Tab")
    page.keyboard.type("CASE19")
    assert first_cases(page) == ["case19", "case190", "case191"]
    assert page.locator("#count").inner_text() == f"11 of {CASES} cases"
    page.locator(".cases:visible th button").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert first_cases(page) == ["case199", "case198", "case197"]


def test_a_case_leads_to_its_picture_which_is_enlarged(page):
    link = page.locator(".cases:visible tbody a").first
    target = link.get_attribute("href")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    assert page.evaluate("location.hash") == target
    page.locator(f"{target} .enlarge").press("Enter")
    assert page.locator("dialog img").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog img").is_visible()


def test_headings_are_in_order_and_tables_have_captions(page):
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.locator("table").count() == page.locator("table > caption").count()


def test_without_scripts_every_table_is_there(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator(".cases:visible").count() == 3
    context.close()
