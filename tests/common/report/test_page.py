"""The page as text: whole, small, alone, and safe against names that are not ours."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from common.report.page import LARGEST, PAGE, PICTURE, write_report

pytest.importorskip("matplotlib")
VOID = {"meta", "img", "input", "br", "link", "hr"}


class Reader(HTMLParser):
    """Open elements, identities, addresses and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.images_without_words = 0
        self.words = ""

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.open += [] if tag in VOID else [tag]
        self.ids += [named["id"]] if "id" in named else []
        self.addresses += [named[key] for key in ("src", "href", "action", "srcset", "poster") if key in named]
        self.images_without_words += tag == "img" and "alt" not in named

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data if self.open and self.open[-1] not in ("script", "style") else ""


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def folder(result_folder, tmp_path_factory):
    folder = shutil.copytree(result_folder, tmp_path_factory.mktemp("report") / "out")
    write_report(folder)
    return folder


def test_both_files_are_written_beside_the_others(folder):
    assert (folder / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert (folder / PAGE).stat().st_size < LARGEST
    assert (folder / "metrics.json").is_file()


def test_the_page_is_whole_and_its_links_lead_somewhere(folder):
    page = read(folder / PAGE)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert page.images_without_words == 0
    assert {"quality", "images", "label-contours", "refinement", "alignment", "figures", "methods", "run"} <= set(
        page.ids
    )


def test_nothing_outside_of_the_page_is_needed(folder):
    page = read(folder / PAGE)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    text = (folder / PAGE).read_text(encoding="utf-8")
    assert not re.findall(r"url\(|@import|https?://|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text


def test_what_matters_is_there_without_a_script(folder):
    words = read(folder / PAGE).words
    for text in ("The images differ.", "Look at them.", "mutual information", "affine alignment by 2 mm", "SHA-256"):
        assert text in words
    assert "Versions: python" in words


def test_the_slices_are_data_that_a_script_can_read(folder):
    text = (folder / PAGE).read_text(encoding="utf-8")
    stacks = json.loads(re.search(r'<script type="application/json" id="stacks">(.*?)</script>', text).group(1))
    assert [stack["name"] for stack in stacks] == ["sagittal", "coronal", "axial"]
    assert list(stacks[0]["layers"]) == ["aligned", "before", "fixed", "moved"]


def test_hostile_names_stay_text(result_folder, tmp_path):
    folder = shutil.copytree(result_folder, tmp_path / "<b>out")
    metrics = json.loads((folder / "metrics.json").read_text())
    attack = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    metrics |= {"command": attack, "network": attack, "quality": [{"flag": '"><script>', "word": attack}]}
    metrics["refinement"]["reasons"] = [attack]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    _, page = write_report(folder)
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text and "<img src=x" not in text
    assert text.count("<script") == 2
    assert attack in read(page).words


def test_a_result_without_its_metrics_still_has_a_page(result_folder, tmp_path):
    folder = shutil.copytree(result_folder, tmp_path / "out")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").unlink()
    write_report(folder, fixed=metrics["fixed"], moving=metrics["moving"])
    page = read(folder / PAGE)
    assert page.open == [] and "alignment" not in page.ids
