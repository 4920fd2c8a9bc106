"""Atlases: made of an image, labels and names, or refused with the reason; and the tables of names."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.sample import TISSUES
from tests.common.registration.phantom import make_image
from tools.atlas import add, list_atlases
from tools.monailabel_app.atlas import SAMPLE_NAME, add_atlas, find_atlases, read_atlas, read_label_map, sample_atlas
from tools.monailabel_app.label_names import freesurfer_names, read_names

NAMES = {17: "Left", 53: "Right"}


def make_labels(path: Path, image: Path, values: tuple[float, ...] = (0, 17, 53), dtype: type = np.int16) -> Path:
    """Labels on an image's grid, slabs of the values along the first axis."""
    like = nib.load(image)
    place = np.arange(like.shape[0]) * len(values) // like.shape[0]
    labels = np.broadcast_to(np.array(values)[place][:, None, None], like.shape)
    nib.save(nib.Nifti1Image(labels.astype(dtype), like.affine), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    image = make_image(tmp_path / "image.nii.gz", degrees=(5, 10, 0), code="LPI")
    return image, make_labels(tmp_path / "labels.nii.gz", image)


def test_an_atlas_is_made_and_found(tmp_path: Path, files: tuple[Path, Path]):
    atlas = add_atlas(tmp_path / "atlases", "mine", *files, {**NAMES, 99: "unused"}, "from a test")
    assert atlas == find_atlases(tmp_path / "atlases")["mine"]
    assert dict(atlas.names) == NAMES and atlas.source == "from a test"
    for made, given in zip((atlas.image, atlas.labels), files, strict=True):
        assert np.allclose(nib.load(made).affine, nib.load(given).affine, atol=1e-5)
        assert np.array_equal(np.asarray(nib.load(made).dataobj), np.asarray(nib.load(given).dataobj))


def test_users_atlases_come_before_the_samples(tmp_path: Path, files: tuple[Path, Path]):
    for name in ("b", "a"):
        add_atlas(tmp_path / "atlases", name, *files, NAMES)
    assert list(find_atlases(tmp_path / "atlases")) == ["a", "b", SAMPLE_NAME]
    assert list(find_atlases()) == [SAMPLE_NAME]


def test_the_sample_has_three_tissues_on_its_grid():
    atlas = sample_atlas()
    image, labels = nib.load(atlas.image), nib.load(atlas.labels)
    assert np.array_equal(image.affine, labels.affine)
    values = np.asarray(labels.dataobj)
    assert np.array_equal(np.unique(values), [0, *TISSUES])
    inside = np.asarray(image.dataobj) > 0
    means = [np.asarray(image.dataobj)[inside & (values == value)].mean() for value in TISSUES]
    assert means == sorted(means)  # T1: fluid is dark, white matter bright
    assert not values[~inside].any() or np.mean(values[~inside] > 0) < 0.01


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("unnamed", r"expected values that have a name, got no name for 18"),
        ("background", "expected values that have a name, got only background"),
        ("fractions", "expected whole numbers, got fractions"),
        ("negative", "expected labels from 0 on, got -3 to 17"),
        ("shape", "expected the shape of .*image.nii.gz"),
        ("place", "expected the place of .*image.nii.gz, got one that is 4 away"),
        ("missing", "expected an image file, got no such file"),
        ("name", "atlas: expected a plain name"),
    ],
)
def test_what_is_no_atlas_is_refused(tmp_path: Path, files: tuple[Path, Path], kind: str, text: str):
    image, labels = files
    values = {"unnamed": (0, 17, 18), "background": (0, 0), "fractions": (0, 1.5), "negative": (-3, 17)}
    if kind in values:
        make_labels(labels, image, values[kind], np.float32)
    elif kind in ("shape", "place"):
        other = make_image(tmp_path / "other.nii.gz", degrees=(5, 10, 0), code="LPI", shift=(0, 4, 0))
        if kind == "shape":
            make_image(other, shape=(20, 20, 20))
        make_labels(labels, other)
    given = tmp_path / "nowhere.nii.gz" if kind == "missing" else labels
    with pytest.raises(InputError, match=text):
        add_atlas(tmp_path / "atlases", "../a" if kind == "name" else "a", image, given, NAMES)
    assert not (tmp_path / "atlases").exists()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda folder: (folder / "labels.nii.gz").unlink(), "got no labels.nii.gz"),
        (lambda folder: (folder / "atlas.json").write_text("{}"), "expected names by label value in atlas.json"),
        (lambda folder: (folder / "atlas.json").write_text("{"), "expected a readable JSON file"),
        (lambda folder: (folder / "atlas.json").write_text('{"names": {"x": "y"}}'), "expected names by label value"),
    ],
)
def test_a_damaged_atlas_is_named(tmp_path: Path, files: tuple[Path, Path], spoil, text: str):
    add_atlas(tmp_path / "atlases", "a", *files, NAMES)
    spoil(tmp_path / "atlases" / "a")
    with pytest.raises(InputError, match=text):
        find_atlases(tmp_path / "atlases")


def test_folders_without_atlases(tmp_path: Path):
    with pytest.raises(InputError, match="expected a folder of atlases, got none"):
        find_atlases(tmp_path / "nowhere")
    with pytest.raises(
        InputError, match=r"expected folders with image\.nii\.gz, labels\.nii\.gz, atlas\.json, got none"
    ):
        find_atlases(tmp_path)


def test_the_commands(tmp_path: Path, files: tuple[Path, Path], capsys):
    table = tmp_path / "names.json"
    table.write_text('{"17": "Left", "53": "Right"}')
    add(str(tmp_path / "atlases"), *map(str, files), names=str(table), source="a test")
    list_atlases(str(tmp_path / "atlases"))
    said = capsys.readouterr().out
    assert "atlas image with 2 labels is in" in said and "image: 2 labels, a test" in said
    assert f"{SAMPLE_NAME}: 3 labels, ICBM 152" in said
    assert dict(read_atlas(tmp_path / "atlases" / "image").names) == NAMES


TABLES = {
    "FreeSurfer": ("lut.txt", "#No. Name R G B A\n\n0   Unknown 0 0 0 0\n17  Left  20 16 2 0\n53  Right 20 16 2 0\n"),
    "BIDS": ("dseg.tsv", "index\tname\tabbreviation\n17\tLeft\tL\n53\tRight\tR\n"),
    "CSV": ("names.csv", "\ufeffName,Index\nLeft,17\nRight,53\n"),
    "ITK-SNAP": ("snap.label", '# text\n 0 0 0 0 0 0 0 "Clear"\n 17 255 0 0 1 1 1 "Left"\n 53 0 255 0 1 1 1 "Right"\n'),
    "JSON": ("names.json", '{"17": "Left", "53": "Right"}'),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_names(tmp_path: Path, kind: str):
    name, text = TABLES[kind]
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / name) == NAMES


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.txt", None, "expected freesurfer or a file, got no such file"),
        ("empty.txt", b"", "expected lines of a value and a name, got none"),
        ("words.txt", b"left right\n", "expected lines of a value and a name, got none"),
        ("binary.txt", b"\xff\xfe\x00\x80", "expected text"),
        ("keys.json", b'{"left": "17"}', "expected whole numbers as keys"),
        ("list.json", b"[1]", "expected a JSON object"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None, text: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=text):
        read_names(tmp_path / name)


def test_freesurfers_names_cover_the_usual_parcellations():
    names = read_names("freesurfer")
    assert names == freesurfer_names() and len(names) == len(set(names.values()))
    assert {2, 3, 4, 5, 7, 8, *range(10, 19), 24, 26, 28, 41, 42, 43, 44, 46, 47, *range(49, 55), 58, 60} <= set(names)
    left = {name.removeprefix("Left-") for name in names.values() if name.startswith("Left-")}
    right = {name.removeprefix("Right-") for name in names.values() if name.startswith("Right-")}
    assert left == right
    assert names[1024] == "ctx-lh-precentral" and names[2024] == "ctx-rh-precentral"


def test_label_maps_of_floats_are_read_as_whole_numbers(tmp_path: Path, files: tuple[Path, Path]):
    labels = make_labels(tmp_path / "float.nii.gz", files[0], (0, 17, 53), np.float32)
    assert read_label_map(labels).voxels.dtype == np.int32
