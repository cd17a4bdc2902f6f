"""The page of a report, opened from disk in a real browser."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from interfaces.command import mlip
from interfaces.trained import ETHANOL, alcu, ethanol, train

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for found in map(shutil.which, NAMES) if found), None)
if PROGRAM is None:
    pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is missing")

# Software drawing, as a machine without a graphics card has it.
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
_FOLDER = tempfile.TemporaryDirectory(prefix="mlip-report-")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as program:
        started = program.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield started
        started.close()


@cache
def committee() -> Path:
    folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    assert train(folder, ETHANOL, "model.committee.members=2").status == 0
    return folder / "run"


@cache
def page_of(run: Path) -> Path:
    page = Path(tempfile.mkdtemp(dir=_FOLDER.name)) / "report.html"
    outcome = mlip("report", run, "--output", page, "--quiet")
    assert outcome.status == 0, outcome.err
    return page


def opened(browser, page, scheme, width):
    """The page in a window of its own, with everything that went wrong and everything it asked for."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    window, wrong, requests = context.new_page(), [], []
    window.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("request", lambda request: requests.append(request.url))
    window.goto(page.as_uri())
    window.wait_for_selector("#view canvas")
    return window, wrong, requests


@pytest.mark.parametrize("run", [alcu, ethanol, committee], ids=["crystal", "molecule", "committee"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_calmly(browser, run, scheme, width):
    page = page_of(run())
    assert page.stat().st_size < 5e6
    window, wrong, requests = opened(browser, page, scheme, width)
    window.wait_for_timeout(300)
    assert wrong == [], "errors and warnings in the console"
    assert requests == [page.as_uri()], "nothing else is fetched"
    assert window.evaluate("document.documentElement.scrollWidth") <= width, "no scrolling sideways"
    wide = window.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, nav, pre, svg, #view')"
        " && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == [], "nothing is cut off"
    paper, ink = (window.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert (
        brightness(paper) > 200 > 100 > brightness(ink)
        if scheme == "light"
        else (brightness(paper) < 60 < 180 < brightness(ink))
    )
    text = window.evaluate("getComputedStyle(document.querySelector('.plot text')).fill")
    assert abs(brightness(text) - brightness(paper)) > 80, "a figure's text is read on its ground"
    assert window.evaluate("document.querySelectorAll('main > section').length") >= 6
    assert window.evaluate("[...document.querySelectorAll('.plot')].every(e => e.getBoundingClientRect().height > 50)")
    if run is committee:
        assert window.is_visible("#calibration")
    window.context.close()


def test_the_worst_structures_turn(browser):
    """Choosing another structure, dragging, keys and the boxes change the picture."""
    window, wrong, _ = opened(browser, page_of(ethanol()), "light", 1280)
    view = window.locator("#view")
    view.scroll_into_view_if_needed()
    window.wait_for_timeout(500)
    pictures = [view.screenshot()]
    box = view.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag():
        window.mouse.move(x, y)
        window.mouse.down()
        window.mouse.move(x + 90, y + 40, steps=4)
        window.mouse.up()

    actions = [
        lambda: window.locator(".worst button").nth(2).click(),
        drag,
        lambda: (view.focus(), window.keyboard.press("ArrowLeft")),
        lambda: window.locator("#shade").check(),
        lambda: window.locator("#arrows").uncheck(),
    ]
    for number, act in enumerate(actions):
        act()
        window.wait_for_timeout(300)
        pictures.append(view.screenshot())
        assert pictures[-1] != pictures[-2], f"action {number} changes nothing"
    assert window.locator(".worst button[aria-pressed=true]").count() == 1
    assert window.locator("#told").inner_text().startswith("ethanol_xtb.npz#")
    window.emulate_media(color_scheme="dark")
    window.wait_for_timeout(300)
    assert view.screenshot() != pictures[-1], "the viewer's ground follows the theme"
    assert wrong == []
    window.context.close()


def brightness(color: str) -> float:
    """The mean of red, green and blue of rgb(r, g, b)."""
    return sum(float(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3]) / 3
