"""The table and the page: every pair once, the worst first, nothing from elsewhere."""

import csv

import pytest

from tests.common.report.test_page import Reader
from tests.tools.cohort.conftest import finish
from tools.cohort.index import index_page, write_index
from tools.cohort.table import rows, write_table

SERIOUS = [{"flag": "folds", "word": "it folds", "what_to_do": "", "serious": True}]


@pytest.fixture
def mixed(listed):
    """Fine, serious, failed, missing."""
    finish(listed, 0, stage_seconds={"total": 12.5}, similarity={"before": {"ncc": 0.1}, "after": {"ncc": 0.7}})
    finish(listed, 1, quality=SERIOUS, dice={"before": {"mean": 0.5}, "after": {"mean": 0.8}})
    listed.fail(listed.pairs[2], "cut <short>")
    return listed


def test_a_row_a_pair(mixed):
    write_table(rows(mixed), mixed.folder)
    with (mixed.folder / "cohort.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["pair"], row["grade"]) for row in table] == [
        ("pair0", "fine"),
        ("pair1", "serious"),
        ("pair2", "failed"),
        ("pair3", "missing"),
    ]
    assert (table[0]["ncc_after"], table[0]["seconds"], table[1]["dice_after"]) == ("0.7", "12.5", "0.8")
    assert table[1]["flags"] == "It folds." and table[2]["error"] == "cut <short>"
    assert all(row["moving"].endswith(f"moving{number}.nii.gz") for number, row in enumerate(table))


def test_the_worst_pair_comes_first_and_names_stay_text(mixed):
    (mixed.folder / "thumbnails").mkdir()
    (mixed.folder / "thumbnails" / "pair0.jpg").write_bytes(b"x")
    (mixed.folder / "pair0" / "report.html").write_text("x")
    text = index_page(rows(mixed), mixed.folder)
    page = Reader()
    page.feed(text)
    assert page.open == [] and page.images_without_words == 0
    assert [text.index(f'data-name="pair{number}"') for number in (2, 3, 1, 0)] == sorted(
        text.index(f'data-name="pair{number}"') for number in range(4)
    )
    assert "cut <short>" not in text and "cut &lt;short&gt;" in text
    assert set(page.addresses) == {
        "cohort.csv",
        "thumbnails/pair0.jpg",
        "pair0/report.html",
        "pair1/metrics.json",  # and none for a pair that has nothing
    }


def test_names_with_signs_are_addresses_too(mixed):
    table = rows(mixed)
    table[0]["pair"] = "a b#c?"
    write_index(table, mixed.folder)
    assert 'href="a%20b%23c%3F/metrics.json"' in (mixed.folder / "index.html").read_text()


def test_an_empty_cohort_has_a_page(listed):
    assert "0 pairs" in index_page([], listed.folder)
