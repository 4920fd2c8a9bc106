"""The pages of ``docs/reproduce``: made from the tables, with no number that is not a quotation or a measurement."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from common.data.recipes import RECIPES
from common.errors import InputError
from tests.conftest import SHARED
from tools.arguments import match_words, readers
from tools.command import read_command
from tools.papers.command import papers
from tools.papers.differences import DIFFERENCES
from tools.papers.pages import PAGES, made
from tools.papers.quotations import TABLES, printed, tables
from tools.papers.rows import DATALISTS, PAPERS, ROWS, SHAPES
from tools.papers.scores import MEASURED, gap, measured

NUMBER = re.compile(r"<?\d+\.\d+(?: ± \d+\.\d+)?")


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_is_as_its_tables_make_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert made(text) == text, "python -m tools.papers.pages"


def test_every_row_has_its_printed_value_and_every_method_of_a_table_its_row() -> None:
    for row in ROWS:
        value = printed(row)
        assert (value == "") == (row.paper == "caml_morph" or (row.data, row.method) == ("abdomen", "affine")), row.name
        assert value == "" or NUMBER.fullmatch(value), row.name
    for key, column in (("mambamorph", 1), ("vmambamorph", 2), ("psmamba", 3), ("psmamba_table4", 2)):
        printed_there = [cells[column] for cells in tables()[key]["rows"][1:]]
        made_here = [printed(row) for row in ROWS if row.printed and row.printed[0] == key and row.printed[2] == column]
        assert sorted(made_here) == sorted(printed_there), key


def test_every_list_and_every_command_of_this_project_can_be_typed() -> None:
    places = {"datalist": "tools.datalist:datalist", "benchmark": "tools.benchmark.registration:benchmark_registration"}
    commands = [*DATALISTS.values(), *(row.test for row in ROWS if row.classical)]
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md")).replace("\\\n", " ")
    commands += [line for line in pages.splitlines() if line.startswith("python -m tools datalist")]
    for words in map(shlex.split, commands):
        command = read_command(words[3], places[words[3]])
        found = match_words(command, [word for word in words[4:] if word != "registration"])
        values = {name: readers(command)[name](text) for name, text in found.items()}
        assert words[3] == "benchmark" or values["make"] in RECIPES
        assert all(isinstance(n, int) for n in (*values.get("crop", ()), *values.get("resize", ())))


def test_every_quoted_number_is_in_the_table_of_quotations_beside_the_checkout() -> None:
    path = SHARED / "specs" / "paper_tables.md"
    if not path.exists():
        pytest.skip("the reviewer's copy of the papers' tables is not beside this checkout")
    known = set(re.findall(r"\d+\.\d+", path.read_text(encoding="utf-8"))) | {"15.257"}  # printed so; 15.3 is rounded
    text = TABLES.read_text(encoding="utf-8")
    assert (
        set(re.findall(r"(?<![\d.:])\d+\.\d+(?![\d.])", text.replace("2401.13934", "").replace("2404.05105", "")))
        <= known
    )


def summaries() -> dict[tuple[str, str], str]:
    """(method, kind) -> Dice with three decimals, of the benchmark's files."""
    found: dict[tuple[str, str], str] = {}
    for path in reversed(MEASURED):
        with path.open(newline="", encoding="utf-8") as file:
            found |= {
                (line["method"], line["kind"]): f"{float(line['dice_nearest']):.3f}" for line in csv.DictReader(file)
            }
    return found


def test_measured_values_are_those_of_the_benchmark_s_files() -> None:
    rows, there = {row.name: row for row in ROWS}, summaries()
    t1, ct = "T1-T1 rendered", "T1-CT rendered"
    for name, method, kind in (
        ("mambamorph_srreg_mambamorph", "MambaMorph", ct),
        ("mambamorph_srreg_initial", "affine start only", ct),
        ("psmamba_lpba40_psmamba_net", "PSMamba-Net", t1),
        ("psmamba_lpba40_psmamba_net_diff", "PSMamba-Net (diffeomorphic)", t1),
        ("vit_v_net_t1_syn", "ANTs SyN, mean squares", t1),
        ("caml_morph_oasis_full_system_to_an_atlas", "CAMLMorph", t1),
    ):
        assert measured(rows[name]) == there[method, kind], name
    row = rows["mambamorph_srreg_mambamorph"]
    assert gap(row) == f"{100 * float(there['MambaMorph', ct]) - 82.71:+.1f}"
    row = rows["psmamba_lpba40_affine"]
    assert gap(row) == f"{100 * (float(there['affine start only', t1]) - 0.537):+.1f}"


def test_nothing_stands_where_nobody_has_trained_the_network_or_the_kit_has_no_such_images() -> None:
    """Without features, another lambda, T2 images, an abdomen."""
    rows = {row.name: row for row in ROWS}
    for name in ("mambamorph_srreg_mambamorph_no_features", "caml_morph_oasis_lambda_4_0", "mambamorph_ixi_mambamorph",
                 "psmamba_abdomen_psmamba_net", "vit_v_net_t1_voxelmorph_1", "psmamba_lpba40_modet"):  # fmt: skip
        assert measured(rows[name]) == "" == gap(rows[name]), name


def test_the_test_command_shows_the_network_the_published_volume_scaled_as_in_training() -> None:
    for row in (row for row in ROWS if row.bundle):
        shape = ",".join(map(str, SHAPES[row.data]))
        assert f'--shape "[{shape}]" --passes "[1]" --window none' in row.test, row.name


def test_the_command_prints_a_paper_s_rows(capsys: pytest.CaptureFixture) -> None:
    papers("vmambamorph")
    text = capsys.readouterr().out
    assert '--make sr_reg --folder DIR --resize "[128,128,128]"' in text and "TransMorph, features, srreg128" in text
    assert text.count("--ckpt_dir") == 8 and "ViT-V-Net" not in text
    assert f"# resizing: {DIFFERENCES['resizing']}" in text and "crop by image" not in text
    papers()
    text = capsys.readouterr().out
    assert all(name in text for name in PAPERS.values())
    with pytest.raises(InputError, match=r"expected a paper among .*, got 'psmama' \(did you mean psmamba\?\)"):
        papers("psmama")
