"""Every number that a page or a card quotes from a paper or its code is in the table of quotations, with its place."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from common.data.label_sets import LABEL_SETS
from tests.house import ROOT
from tools.papers.differences import DIFFERENCES
from tools.papers.pages import PAGES
from tools.papers.quotations import PAGE_OF, STATEMENTS, TABLES, statements, tables
from tools.papers.rows import PAPERS, ROWS

#: A number that stands by itself: not the 3 of conv3d, the 1 of T1 and VoxelMorph-1, nor the 95 of HD95.
NUMBER = re.compile(r"(?<![A-Za-z\d.,])(?<![A-Za-z]-)\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?![A-Za-z\d])")
#: Bundle -> the papers whose numbers its card may quote.
SOURCES = {
    "mambamorph": ("mambamorph",),
    "vmambamorph": ("vmambamorph",),
    "psmamba_net": ("psmamba",),
    "psmamba_net_diff": ("psmamba",),
    "transmorph": ("transmorph", "mambamorph", "vmambamorph"),
    "voxelmorph": ("voxelmorph", "mambamorph", "vmambamorph"),
    "xmorpher": ("xmorpher", "mambamorph"),
    "vit_v_net": ("vit_v_net",),
    "caml_morph": ("caml_morph", "xmorpher"),
}
#: This project's own numbers in the descriptions of the cards, and what holds them.
OURS = {
    "2e-4": "voxel, tests/bundles and docs/parity.md", "5e-4": "the same", "1e-4": "the same",
    "16": "sides of a grid, metadata.json", "32": "the same", "4": "the same", "7": "squarings", "2.0": "Apache-2.0",
    "14,798,595": "tests/common/networks/test_caml_morph.py", "20,223,315": "the same",
    "1.0": "lambda of the recipe", "1/510": "common/training/volumes.py",
}  # fmt: skip


def numbers(text: str) -> set[str]:
    """The numbers of a prose text: without code, addresses, tables that are made, and the shapes of tensors."""
    drawn = (r"```.*?```", r"`[^`]*`", r"\]\([^)]*\)", r"<!-- made by .*?<!-- end -->")
    tensors = (r"\(B, \d, X, Y, Z\)", r"channel [01]", r"\[0, 1\]")
    for pattern in (*drawn, *tensors):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return set(NUMBER.findall(re.sub(r"(?<=\d)x(?=\d)", " ", text)))


def known(papers: Iterable[str]) -> set[str]:
    """The numbers of the table of quotations that belong to some papers."""
    texts = [f"{entry['says']} {entry['where']}".replace("`", "") for paper in papers for entry in statements(paper)]
    for key, table in tables().items():
        if key.removesuffix("_study").removesuffix("_table4") in papers:
            texts += [table["reference"], *(cell for row in table["rows"] for cell in row)]
    return numbers(" ; ".join(texts))


def counted() -> set[str]:
    """Parameters that tests hold, and the values of the label sets."""
    values = {str(value) for chosen in LABEL_SETS.values() for value in (*chosen.table, *chosen.names)}
    return values | {f"{row.parameters:,}" for row in ROWS}


def everything() -> set[str]:
    return known({*PAPERS, *(name for names in SOURCES.values() for name in names)})


def test_a_quotation_names_its_paper_its_place_and_no_page_that_nobody_saw() -> None:
    for entry in json.loads(STATEMENTS.read_text(encoding="utf-8")):
        assert set(entry) == {"paper", "says", "where"} and all(entry.values())
        assert entry["paper"] in everything_named(), entry
        assert not re.search(r"\b(page|p\.) ?\d", entry["where"]), entry
        place = (
            "title",
            "text",
            "table",
            "equation",
            "figure",
            "ablation",
            "data",
            "loss",
            "statistics",
            "code:",
            "10.",
        )
        assert any(word in entry["where"] for word in place), entry
    for table in json.loads(TABLES.read_text(encoding="utf-8")):
        assert re.search(r"table \d|the tables? of .*\(.* not at hand\)", table["reference"]), table["reference"]


def everything_named() -> set[str]:
    return {*PAPERS, *(name for names in SOURCES.values() for name in names)}


@pytest.mark.parametrize("paper", PAPERS)
def test_a_page_quotes_what_the_table_has(paper: str) -> None:
    text = (PAGES / f"{PAGE_OF.get(paper, paper)}.md").read_text(encoding="utf-8")
    own = {
        "mambamorph": {"1"},
        "vmambamorph": {
            "1",
            "1.375",
            "1.625",
            "1.5",
            "176",
            "208",
            "192",
        },  # the sides of a resized voxel: 176 / 128 ..
        "psmamba": {"1", "4"},  # its tables
        "vit_v_net": {"3", "5", "364", "1456"},  # its tables; 728 pairs in batches of 2
        "caml_morph": {"1", "0.5", "0", "2", "26", "6"},  # Betti numbers and neighbourhoods: common/metrics
    }[paper]
    assert numbers(text) <= known([paper]) | own | {"1"}
    assert f"said {paper} -->" in text and f"rows {paper} -->" in text


@pytest.mark.parametrize("bundle", SOURCES)
def test_a_card_describes_its_paper_with_numbers_of_the_table(bundle: str) -> None:
    text = (ROOT / "bundles" / bundle / "docs" / "README.md").read_text(encoding="utf-8")
    described = text.partition("## **Model Description**")[2].partition("## **Data**")[0]
    parameters = {f"{row.parameters:,}" for row in ROWS if row.bundle == bundle}
    assert described and numbers(described) <= known(SOURCES[bundle]) | parameters | set(OURS)


def test_what_differs_quotes_what_the_table_has() -> None:
    used = {word for row in ROWS for word in row.differs}
    assert used == set(DIFFERENCES) and all(row.differs for row in ROWS)
    for paper in PAPERS:
        text = " ".join(DIFFERENCES[word] for row in ROWS if row.paper == paper for word in row.differs)
        ours = {"0", "1", "510", "5", "2", "4", "0.5", "1.0", "350", "50", "49", "27", "12", *known(["xmorpher"])}
        assert numbers(text) <= known([paper]) | ours, paper


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md"),
                    *ROOT.glob("bundles/*/docs/README.md")]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)  # fmt: skip
def test_no_page_quotes_a_number_that_the_table_does_not_have(page: Path) -> None:
    text = re.sub(r"```.*?```", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for sentence in re.split(r"(?<=[.:;|])\s|\n\n", text):
        if re.search(r"\bpapers?\b[^.]{0,20}\b(prints?|printed|reports?|states?|gives?)\b", sentence):
            assert numbers(sentence) <= everything() | counted() | set(OURS), sentence
