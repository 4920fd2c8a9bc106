"""The report in a real Chromium: it renders, flickers, slides, prints, and asks nobody for anything."""

import pytest

from common.report import write_report
from tests.browser.conftest import Watched
from tests.common.report.conftest import make_result

pytestmark = pytest.mark.browser
PLACE = "e => `${e.tagName}.${e.className}.${e.closest('.plane')?.dataset.plane ?? ''}`"
OPACITY = "element => Number(getComputedStyle(element).opacity)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    pytest.importorskip("matplotlib")
    return write_report(make_result(tmp_path_factory.mktemp("registered")))[-1]


@pytest.fixture
def watched(browser, report):
    context = browser.new_context(viewport={"width": 1250, "height": 900})
    yield Watched(context, report)
    context.close()


def opacities(page, plane, count=30, every=100):
    """The upper image's opacity over three seconds."""
    over = page.locator(".over").nth(plane)
    seen = set()
    for _ in range(count):
        seen.add(over.evaluate(OPACITY))
        page.wait_for_timeout(every)
    return seen


def test_it_renders_without_a_complaint_or_a_request(watched, report):
    page = watched.page
    page.wait_for_load_state("networkidle")
    broken = page.evaluate("[...document.images].filter(image => !image.complete || !image.naturalWidth).length")
    assert broken == 0 and page.evaluate("document.images.length") >= 20
    assert watched.complaints == []
    assert watched.requests == [report.as_uri()] or watched.asked_outside() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("how", ["hover", "focus"])
def test_a_picture_flickers_where_one_looks(watched, how):
    page = watched.page
    assert opacities(page, 0, count=5) == {1}
    getattr(page.locator(".flicker").nth(0), how)()
    assert opacities(page, 0) == {0, 1}
    assert opacities(page, 1, count=5) == {1}


def test_the_flicker_can_be_held_by_a_key(watched):
    page = watched.page
    page.locator(".flicker").nth(1).focus()
    for expected in ({1}, {0}):
        page.keyboard.press(" ")
        assert opacities(page, 1, count=15) == expected
    page.keyboard.press(" ")
    assert opacities(page, 1) == {0, 1}


def test_sliders_change_every_picture_of_their_plane(watched):
    page = watched.page
    plane = page.locator(".plane").nth(2)

    def sources():
        return plane.locator("img").evaluate_all("images => images.map(image => image.src)")

    before, number = sources(), plane.locator("output").inner_text()
    plane.locator("input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    after = sources()
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert plane.locator("output").inner_text() != number
    plane.locator(".flicker").focus()
    page.keyboard.press("ArrowLeft")
    assert sources() == before
    plane.locator("input[type=range]").fill("0")
    assert plane.locator("input[type=range]").input_value() == "0" and sources() != before


def test_another_image_can_be_flickered_with(watched):
    page = watched.page
    over = page.locator(".over").nth(0)
    moved = over.get_attribute("src")
    page.get_by_label("before", exact=True).check()
    assert over.get_attribute("src") != moved
    assert page.locator(".over-tag").nth(0).inner_text() == "before"


def test_everything_can_be_reached_by_the_tab_key(watched):
    page = watched.page
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"({PLACE})(document.activeElement)"))
    flickers = {f"DIV.flicker.{plane}" for plane in range(3)}
    assert {"A..", "INPUT..", "INPUT..0", "INPUT..2", "SUMMARY.."} | flickers <= set(reached)


def test_without_scripts_it_shows_and_flickers_all_the_same(browser, report):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1250, "height": 900})
    watched = Watched(context, report)
    page = watched.page
    assert page.locator("fieldset").is_hidden() and page.locator("input[type=range]").nth(0).is_hidden()
    assert page.locator(".strip img").nth(0).is_visible() and page.locator(".figure img").nth(0).is_visible()
    page.locator(".flicker").nth(0).hover()
    assert opacities_by_screen(page) == 2
    context.close()


def opacities_by_screen(page):
    """How many different pictures the first flicker shows in two seconds: no script can be asked here."""
    seen = set()
    for _ in range(12):
        seen.add(page.locator(".flicker").nth(0).screenshot())
        page.wait_for_timeout(150)
    return len(seen)


def test_whoever_wants_no_motion_gets_none(browser, report):
    context = browser.new_context(reduced_motion="reduce")
    page = Watched(context, report).page
    page.locator(".flicker").nth(0).hover()
    assert opacities(page, 0, count=15) == {0}
    context.close()


def test_it_prints_what_matters(watched, tmp_path):
    page = watched.page
    page.emulate_media(media="print")
    assert page.locator(".flicker").nth(0).is_hidden() and page.locator("nav").is_hidden()
    assert page.locator(".strip img").nth(0).is_visible()
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
