"""The page in a real browser, as its reader has it: from a file, on a small screen, in the dark, by keyboard."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from evaluation.report import write_report

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and os.environ.get("CI") != "true",
        reason=f"{CHROMIUM} is not installed (apt-get install chromium)",
    ),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_the_page_works(browser, whole, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    troubles, asked = [], []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(write_report(whole).as_uri())
    page.wait_for_function("[...document.querySelectorAll('video')].every(video => video.readyState >= 1)")
    assert page.evaluate("document.querySelector('video').videoWidth") == 690
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert troubles == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    found = Axe().run(page)
    grave = [v["id"] for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert grave == []
    page.close()


def test_a_film_plays(browser, whole):
    page = browser.new_page()
    page.goto(write_report(whole, single_file=True).as_uri())
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("document.querySelector('video').currentTime > 0.2")
    page.close()
