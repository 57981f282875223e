"""The report in headless Chromium; skipped where it is not installed."""

import pytest

from evaluation.report.page import Page
from evaluation.report.report import write_report
from tests.evaluation import browser

pytestmark = pytest.mark.skipif(
    not browser.installed(), reason="chromium and chromedriver are not installed"
)


@pytest.fixture(scope="module")
def report(scored_run):
    return write_report(scored_run, Page(thumbnails=60, side=64))


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(report)
        opened.run("document.documentElement.style.scrollBehavior = 'auto'")
        opened.run("document.getElementById('video-0').scrollIntoView()")
        opened.until("return document.querySelectorAll('#video-0 .main-svg').length > 0")
        opened.until("return document.querySelector('#video-0 .frame').src.length > 100")
        yield opened


def reading(page):
    return page.run("return document.querySelector('#video-0 .reading').textContent")


def test_no_error_and_no_request_leaves_the_page(page):
    assert page.errors() == []
    assert (
        page.run(
            "return performance.getEntriesByType('resource')"
            ".map(e => e.name).filter(n => !n.startsWith('data:') && !n.startsWith('blob:'))"
        )
        == []
    )


def test_the_pointer_brings_the_frame_and_its_heat_map(page):
    box = page.run(
        "const b = document.querySelector('#video-0 .nsewdrag').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height].map(Math.round)"
    )
    left, top, width, height = box
    seen = set()
    for part in (0.1, 0.5, 0.9):
        page.pointer(("move", left + int(part * width), top + height // 2))
        expected = round(part * 29)
        page.until(
            "const t = document.querySelector('#video-0 .reading').textContent;"
            "const m = t.match(/Frame (\\d+)/);"
            f"return Math.abs(+m[1] - {expected}) <= 1"
        )
        seen.add(page.run("return document.querySelector('#video-0 .heat').src"))
    assert len(seen) == 3


def test_dragging_zooms_and_double_click_returns(page):
    axis = "document.querySelector('#video-0 .plot')._fullLayout.xaxis.range"
    before = page.run(f"return {axis}.slice()")
    left, top, width, height = page.run(
        "const b = document.querySelector('#video-0 .nsewdrag').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height].map(Math.round)"
    )
    y = top + height // 2
    page.pointer(
        ("move", left + width // 4, y), ("down", 0, 0), ("move", left + width // 2, y), ("up", 0, 0)
    )
    page.until(f"return {axis}[1] - {axis}[0] < {(before[1] - before[0]) / 2}")
    page.pointer(("move", left + 9, y), ("down", 0, 0), ("up", 0, 0), ("down", 0, 0), ("up", 0, 0))
    page.until(f"return Math.abs({axis}[1] - {before[1]}) < 1")


def test_the_keyboard_steps_through_frames(page):
    page.run("document.querySelector('#video-0 input').focus()")
    page.keys("\ue011")  # Home
    assert reading(page).startswith("Frame 0, 0.00 s, normal")
    page.keys(*["\ue014"] * 13)  # arrow right
    assert reading(page).startswith("Frame 13, 1.30 s, anomalous")
    cursor = page.run("return document.querySelector('#video-0 .plot').layout.shapes.at(-1).x0")
    assert cursor == 13


def test_tab_reaches_every_part(page):
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    reached = []
    for _ in range(60):
        page.keys("\ue004")
        reached.append(
            page.run(
                "const a = document.activeElement;"
                "return a.tagName + ' ' + (a.type || a.getAttribute('href') || a.className)"
            )
        )
    for part in ("A #main", "A #timelines", "A #video-1", "INPUT range", "SUMMARY "):
        assert part in reached, (part, reached)


def test_provenance_is_there_to_copy(page):
    page.run("document.querySelector('details').open = true")
    page.run("document.querySelector('.copy').click()")
    page.until("return document.querySelector('.copy').textContent == 'Copied'")
    assert "key-flow" in page.run("return document.getElementById('provenance-text').textContent")


def test_print_draws_every_timeline(page, tmp_path):
    page.run("scrollTo(0, 0)")
    page.print(tmp_path / "report.pdf")
    drawn = page.run("return document.querySelectorAll('.plot .main-svg').length")
    assert drawn >= 2 + 4
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("width", [360, 820])
def test_nothing_is_wider_than_a_phone(report, tmp_path, width):
    with browser.Browser(tmp_path / "profile", width=width, height=740) as phone:
        phone.open(report)
        phone.run("dispatchEvent(new Event('beforeprint'))")
        phone.until("return document.querySelectorAll('.plot .main-svg').length > 4")
        assert phone.run("return document.documentElement.scrollWidth - innerWidth") <= 0
        assert phone.errors() == []


def test_dark_mode_repaints_page_and_plots(report, tmp_path):
    with browser.Browser(tmp_path / "profile", dark=True) as dark:
        dark.open(report)
        dark.run("dispatchEvent(new Event('beforeprint'))")
        dark.until("return document.querySelectorAll('.plot .main-svg').length > 4")
        brightness = (
            "const c = getComputedStyle(document.body)[arguments[0]].match(/\\d+/g).map(Number);"
            "return (c[0] + c[1] + c[2]) / 3"
        )
        assert dark.run(brightness, "backgroundColor") < 60
        assert dark.run(brightness, "color") > 180
        ink = "return document.querySelector('#video-0 .plot').layout.font.color"
        before = dark.run(ink)
        dark.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "light"}],
        )
        dark.until(f"{ink} != '{before}'")
