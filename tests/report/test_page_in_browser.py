"""The page as a reader has it: in a real browser, from a file, without a network."""

import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mpidl.report import figures, page
from mpidl.report import shelf as room
from mpidl.report.collection import Collection

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
PATIENCE = 30.0
"""Seconds that the browser may take for anything, on however busy a machine."""

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--force-prefers-reduced-motion"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM.exists() and DRIVER.exists()),
        reason="needs Debian's chromium and chromedriver",
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all tests, which start it at another page each."""
    from selenium import webdriver

    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=str(DRIVER))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def look(browser, tmp_path):
    """Opens a page at a width; afterwards it must have complained of and asked for nothing."""
    from selenium.webdriver.support.wait import WebDriverWait

    def look(collection, width=1200, **how):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(page.write(collection, tmp_path / "page.html", **how).as_uri())
        return browser, WebDriverWait(browser, PATIENCE)

    yield look
    assert browser.get_log("browser") == []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            # The last is the page that the browser starts with.
            assert url.startswith(("file:", "data:", "chrome:")), url


@pytest.fixture
def study(write, tmp_path, monkeypatch):
    """Thirty runs without figures; number 7 is unfinished and one has no OOD level."""
    monkeypatch.setattr(figures, "of_runs", lambda collection: iter(()))
    curves = np.linspace(0, 0.8, 12).reshape(4, 3)
    (only,) = room.read([write(tmp_path / "run.h5", curves)]).summaries.values()
    found = {}
    for at in range(30):
        level = np.nan if at == 3 else (at * 7 % 30) / 3 - 2
        found[f"run-{at}-{'even' if at % 2 == 0 else 'odd'}"] = replace(
            only,
            settings={**only.settings, "training.seed": at},
            numbers={**only.numbers, "ood_level": level},
            warnings=("The run is unfinished: 7 of 40 rounds.",) if at == 7 else (),
        )
    return Collection(found, ["file.h5 is not a results file of mpidl."])


def cells(browser, column):
    """The texts of the rows that are shown, top to bottom."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#runs-table tbody tr')]"
        ".filter(row => row.offsetParent).map(row => row.cells[arguments[0]].textContent)",
        column,
    )


def head(browser, text):
    """The button that sorts by a column, and the place of the column."""
    heads = browser.find_elements("css selector", "#runs-table thead th")
    place = [one.text.split("\n")[0] for one in heads].index(text)
    return heads[place].find_element("tag name", "button"), place


def test_a_click_sorts_by_number_either_way(look, study):
    browser, wait = look(study)
    button, place = head(browser, "OOD level")
    for sign, name in ((1, "ascending"), (-1, "descending")):
        button.click()
        wait.until(
            lambda _, name=name: browser.find_elements("css selector", f"th[aria-sort={name}]")
        )
        shown = cells(browser, place)
        numbers = [float(text) for text in shown[:-1]]
        assert shown[-1] == "\N{EN DASH}"
        assert len(numbers) == 29
        assert numbers == sorted(numbers, reverse=sign < 0)
        assert min(numbers) < 0


def test_keys_sort_too(look, study):
    from selenium.webdriver.common.keys import Keys

    browser, wait = look(study)
    button, place = head(browser, "Run")
    for _ in range(2):
        button.send_keys(Keys.ENTER)
    wait.until(lambda _: cells(browser, place)[0] == "run-29-odd")


def test_the_filter_hides_rows(look, study):
    browser, wait = look(study)
    section = browser.find_element("id", "runs")
    section.find_element("css selector", "input").send_keys("EVEN run-2")
    output = section.find_element("tag name", "output")
    wait.until(lambda _: output.text == "6 of 30 rows")
    assert sorted(cells(browser, 0)) == [f"run-{at}-even" for at in (2, 20, 22, 24, 26, 28)]


def test_more_columns_when_asked_for(look, study):
    browser, wait = look(study)
    last = browser.find_element("css selector", "#runs-table thead th:last-child")
    assert not last.is_displayed()
    browser.find_element("css selector", "#runs .more").click()
    wait.until(lambda _: last.is_displayed())


def test_dark_and_light(look, study):
    browser, wait = look(study)

    def paper():
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    seen = {paper()}
    for count in (2, 2):
        before = paper()
        browser.find_element("id", "theme").click()
        wait.until(lambda _, before=before: paper() != before)
        seen.add(paper())
        assert len(seen) == count


def test_a_page_that_refreshes_keeps_what_the_reader_did(look, study):
    browser, wait = look(study, refresh=2)
    button, place = head(browser, "OOD level")
    button.click()
    browser.find_element("css selector", "#runs input").send_keys("odd")
    browser.execute_script("window.before = true; scrollTo({top: 300, behavior: 'instant'})")
    wait.until(lambda _: browser.execute_script("return window.before === undefined"))
    wait.until(lambda _: len(cells(browser, place)) == 15)
    numbers = [float(text) for text in cells(browser, place)[:-1]]
    assert numbers == sorted(numbers)
    assert browser.execute_script("return scrollY") == 300
    browser.find_element("id", "pause").click()


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_page(look, study, width, tmp_path):
    browser, _ = look(study, width)
    assert _fits(browser)
    assert _colors(browser, tmp_path / "study.png") > 10


def test_one_run_fits_a_phone(look, write, tmp_path, monkeypatch):
    drawn = figures.of_run
    monkeypatch.setattr(figures, "of_run", lambda *given: islice(drawn(*given), 2))
    curves = np.linspace(0, 0.8, 40).reshape(5, 8)
    browser, _ = look(room.read([write(tmp_path / f"{'long-name-' * 9}.h5", curves)]), 360)
    assert _fits(browser)
    assert browser.find_elements("css selector", "figure svg")


def _fits(browser):
    return browser.execute_script(
        "return document.documentElement.scrollWidth <= innerWidth && innerWidth"
    )


def _colors(browser, path):
    """How many colours a screenshot has."""
    from matplotlib import image

    assert browser.save_screenshot(str(path))
    dots = (image.imread(path)[..., :3] * 255).astype(np.uint32)
    return len(np.unique(dots @ np.array([1 << 16, 1 << 8, 1], np.uint32)))
