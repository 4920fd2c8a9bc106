"""Names are names: no request reaches beyond the studies folder with one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.monailabel_app.names import LONGEST, checked_name, place_in, suffix_of
from tools.monailabel_app.refused import RefusedError, without_paths

GOOD = ["t1", "sub-01_ses-02_T1w", "1.2.840.113619", "3 T1 MPRAGE", "Köln", "日本", "a(1)", "x" * LONGEST]
BAD = {
    "empty": "", "blank": "  ", "long": "x" * (LONGEST + 1), "long in bytes": "ö" * LONGEST, "slash": "a/b",
    "backslash": "a\\b", "parent": "..", "hidden": ".a", "absolute": "/a", "end of text": "a\0", "line": "a\nb",
    "spaces around": " a", "dot at the end": "a.", "surrogate": "a\ud800",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_names_of_studies_pass(name: str):
    assert checked_name(name, "image") == name


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_name_is_refused(kind: str):
    with pytest.raises(RefusedError, match="image: expected a plain name, got") as raised:
        checked_name(BAD[kind], "image")
    assert raised.value.status == 400


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": 1}, b"a"])
def test_other_types_are_refused(value):
    with pytest.raises(RefusedError, match="got none"):
        checked_name(value, "image")


@given(st.text(max_size=40))
def test_a_name_that_passes_stays_in_its_folder(name: str):
    try:
        checked_name(name, "image")
    except RefusedError:
        return
    place = os.path.normpath(os.path.join("/studies", f"{name}.nii.gz"))
    assert os.path.dirname(place) == "/studies"
    assert Path("/studies", name).parent == Path("/studies")


def test_places_are_inside(tmp_path: Path):
    (tmp_path / "labels").mkdir()
    assert place_in(tmp_path, "labels", "final", "a.nii.gz") == tmp_path.resolve() / "labels" / "final" / "a.nii.gz"


@pytest.mark.parametrize("kind", ["parent", "absolute", "folder itself", "link of a folder", "link of a file"])
def test_places_elsewhere_are_refused(tmp_path: Path, kind: str):
    studies, other = tmp_path / "studies", tmp_path / "other"
    studies.mkdir()
    other.mkdir()
    (studies / "linked").symlink_to(other)
    (studies / "file").symlink_to(other / "file")
    parts = {
        "parent": ("..", "other", "x"), "absolute": (str(other / "x"),), "folder itself": ("",),
        "link of a folder": ("linked", "x"), "link of a file": ("file",),
    }[kind]  # fmt: skip
    with pytest.raises(RefusedError, match="leads out of it"):
        place_in(studies, *parts)
    assert list(other.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.nii.gz", ".nii.gz"), ("/x/b.NII", ".nii"), ("c.v1.nrrd", ".nrrd"), ("d.mgz", ".mgz"), ("e.mha", ".mha")],
)
def test_suffixes_of_images(name: str, suffix: str):
    assert suffix_of(name) == suffix


@pytest.mark.parametrize("name", ["", "a", "a.gz", "a.py", "a.nii.gz.exe", "nii"])
def test_other_kinds_are_refused(name: str):
    with pytest.raises(RefusedError, match=r"expected one that ends with \.nii\.gz") as raised:
        suffix_of(name)
    assert raised.value.status == 415


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fixed image /srv/s/p 1.nii.gz: damaged", "fixed image study p 1: damaged"),
        ("see /home/user/.cache/x/y.txt", "see y.txt"),
        (r"see C:\Users\me\y.txt, please", "see y.txt, please"),
        ("1/2 of 3 mm/s", "1/2 of 3 mm/s"),
    ],
)
def test_no_path_is_told(text: str, said: str):
    assert without_paths(text, {"/srv/s/p 1.nii.gz": "study p 1"}) == said
