"""The page of a cohort in a real Chromium: sorted, rated by keys, saved as TSV, asking nobody for anything."""

import pytest
from PIL import Image

from tests.browser.conftest import Watched
from tests.tools.cohort.conftest import finish, make_list
from tools.cohort.index import write_index
from tools.cohort.state import Cohort
from tools.cohort.table import rows

pytestmark = pytest.mark.browser
SERIOUS = [{"flag": "folds", "word": "it folds", "what_to_do": "", "serious": True}]


@pytest.fixture
def watched(browser, tmp_path):
    from common.registration.pairs import listed_pairs

    cohort = Cohort(tmp_path / "out", listed_pairs(make_list(tmp_path, 3)))
    finish(cohort, 0)
    finish(cohort, 1, quality=SERIOUS)
    cohort.fail(cohort.pairs[2], "damaged")
    (cohort.folder / "thumbnails").mkdir()
    Image.new("RGB", (160, 120)).save(cohort.folder / "thumbnails" / "pair0.jpg")
    context = browser.new_context(viewport={"width": 1000, "height": 800}, accept_downloads=True)
    yield Watched(context, write_index(rows(cohort), cohort.folder))
    context.close()


def names(page):
    return page.locator("article:visible").evaluate_all("all => all.map(one => one.dataset.name)")


def test_the_worst_stand_first_and_pictures_load(watched):
    page = watched.page
    assert names(page) == ["pair2", "pair1", "pair0"]
    page.locator("article img").scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")
    assert watched.complaints == [] and watched.asked_outside() == []


def test_ratings_by_key_and_mouse_are_saved_as_a_table(watched, tmp_path):
    page = watched.page
    page.locator("article").nth(0).focus()
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    page.locator("article").nth(2).get_by_label("fair").check()
    page.locator("article").nth(2).locator(".note").fill("a tab\tin it")
    assert page.locator("#rated").inner_text() == "3 of 3 rated"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save ratings").click()
    download.value.save_as(tmp_path / "ratings.tsv")
    lines = [line.split("\t") for line in (tmp_path / "ratings.tsv").read_text().splitlines()]
    assert lines == [
        ["pair", "grade", "rating", "note"],
        ["pair2", "failed", "bad", ""],
        ["pair1", "serious", "good", ""],
        ["pair0", "fine", "fair", "a tab in it"],
    ]
    page.reload()
    assert page.locator("#rated").inner_text() == "3 of 3 rated"


def test_pairs_are_found_by_grade_and_name(watched):
    page = watched.page
    page.locator("#grade").select_option("serious")
    assert names(page) == ["pair1"]
    page.locator("#grade").select_option("")
    page.locator("#search").fill("PAIR0")
    assert names(page) == ["pair0"]
