"""Every task through the client library that Slicer's module carries, against a running server."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.tools.monailabel_app.serving import GRIDS, QUICK, Serving, files_left, make_studies, same_place, serving
from tests.tools.monailabel_app.test_work import make_image

pytestmark = pytest.mark.label
pytest.importorskip("monailabel", reason="MONAI Label is not installed: make label-tests")

SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8", **QUICK}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("client")
    make_studies(folder)
    with serving(folder) as started:
        yield started
        assert files_left(started) == []
    assert list(started.temporary.iterdir()) == []


def labels_of(file: str) -> np.ndarray:
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file))


def test_what_slicer_shows(server: Serving):
    info = server.client().info()
    assert list(info["models"]) == ["atlas_segmentation", "follow_up", "registration"]
    assert info["labels"] == ["Left", "Right"] and info["datastore"]["total"] == len(GRIDS) + 1
    for model in info["models"].values():
        assert set(model["config"]) == set(model["help"])
        assert all(isinstance(v, bool) or all(isinstance(w, str) for w in v) for v in model["config"].values())
    assert info["models"]["atlas_segmentation"]["config"]["atlas"] == [
        "first",
        "second",
        "mni152-tissues",
        "all, fused",
    ]
    assert str(server.studies.parent) not in str(info)
    assert not server.client().train_status(check_if_running=True)


@pytest.mark.parametrize("study", [*GRIDS, "1.2.840.series"])
def test_atlas_segmentation(server: Serving, study: str):
    file, told = server.client().infer("atlas_segmentation", study, dict(SLICER))
    assert file.endswith(".nrrd") and told["label_names"] == {"Left": 1, "Right": 2}
    source = server.studies / study
    assert same_place(Path(file), source if source.is_dir() else source.with_name(f"{study}.nii.gz"))
    assert set(np.unique(labels_of(file))) == {0, 1, 2}


@pytest.mark.parametrize("fusion", ["voting", "staple", "best"])
def test_several_atlases(server: Serving, fusion: str):
    file, told = server.client().infer("atlas_segmentation", "lps", {**SLICER, "atlas": "all, fused", "fusion": fusion})
    assert list(told["similarity"]) == ["first", "second"]
    assert set(np.unique(labels_of(file))) == {0, 1, 2}


@pytest.mark.parametrize(("result", "name"), [("moved image", "moved.nii.gz"), ("field", "warp.nii.gz"),
                                              ("transform", "transform.h5"), ("all", "registration.zip")])  # fmt: skip
def test_registration(server: Serving, result: str, name: str):
    params = {**QUICK, "moving": "lps", "result": result}
    file, told = server.client().infer("registration", "sub-01_ses-01", params)
    assert Path(file).name == name and told["similarity"]["after"]["ncc"] > 0.5
    if result == "all":
        assert zipfile.ZipFile(file).testzip() is None
    elif result == "transform":
        import SimpleITK

        assert SimpleITK.ReadTransform(file).GetDimension() == 3
    else:
        assert nib.load(file).shape[:3] == nib.load(server.studies / "sub-01_ses-01.nii.gz").shape


def test_follow_up(server: Serving):
    """Segment the first visit, submit it as Slicer does, and bring it onto the second."""
    client = server.client()
    file, _ = client.infer("atlas_segmentation", "sub-01_ses-01", dict(SLICER))
    rows = [{"name": "Left part", "idx": 1}, {"name": "Right part", "idx": 2}]
    assert client.save_label("sub-01_ses-01", file, params={"label_info": rows})["label"] == "sub-01_ses-01"
    found, told = client.infer("follow_up", "sub-01_ses-02", dict(SLICER))
    assert told["label_names"] == {"Left part": 1, "Right part": 2}
    assert same_place(Path(found), server.studies / "sub-01_ses-02.nii.gz")
    chosen, _ = client.infer("follow_up", "sub-01_ses-02", {**SLICER, "earlier": "sub-01_ses-01", "tag": "final"})
    assert np.array_equal(labels_of(chosen), labels_of(found))
    moved, _ = client.infer(
        "registration", "lps", {**QUICK, "moving": "sub-01_ses-01", "moving_tag": "final", "result": "moved labels"}
    )
    assert set(np.unique(np.asarray(nib.load(moved).dataobj))) == {0, 1, 2}


def test_a_result_can_be_kept(server: Serving):
    client = server.client()
    client.infer("atlas_segmentation", "mixed", {**SLICER, "save_label": True, "label_tag": "original"})
    kept = client.download_label("mixed", "original")
    assert kept.endswith(".nrrd") and set(np.unique(labels_of(kept))) == {0, 1, 2}
    stored = client.datastore()["objects"]["mixed"]["labels"]["original"]["info"]["params"]
    assert list(stored["label_names"]) == ["Left", "Right"]
    client.infer("registration", "mixed", {**QUICK, "moving": "lps", "result": "transform", "save_label": True,
                                           "label_tag": "from_lps"})  # fmt: skip
    assert client.download_label("mixed", "from_lps").endswith(".h5")
    assert "from_lps" not in client.info()["models"]["follow_up"]["config"]["tag"]


def test_uploads(server: Serving, tmp_path: Path):
    client, image = server.client(), make_image(tmp_path / "any name.nii.gz", code="ASL")
    assert client.upload_image(str(image), "3 T1 new") == {"image": "3 T1 new"}
    assert client.upload_image(str(image), "3 T1 new") == {"image": "3 T1 new"}
    file, _ = client.infer("atlas_segmentation", "3 T1 new", dict(SLICER))
    assert same_place(Path(file), image)
    other = make_image(tmp_path / "other.nii.gz", deform=3.0)
    with pytest.raises(Exception, match=r"another image has the name .*3 T1 new.* already"):
        client.upload_image(str(other), "3 T1 new")
    assert np.array_equal(nib.load(server.studies / "3 T1 new.nii.gz").get_fdata(), nib.load(image).get_fdata())


def test_sessions(server: Serving, tmp_path: Path):
    client, image = server.client(), make_image(tmp_path / "a.nii.gz", degrees=(0, 20, 0))
    session = client.create_session(str(image))["session_id"]
    assert client.get_session(session)["name"] == session
    file, _ = client.infer("atlas_segmentation", "", dict(SLICER), session_id=session)
    assert same_place(Path(file), image)
    client.remove_session(session)
    with pytest.raises(Exception, match="no such session"):
        client.get_session(session)


def test_a_session_of_a_series(server: Serving):
    files = [
        ("files", (path.name, path.read_bytes())) for path in sorted((server.studies / "1.2.840.series").iterdir())
    ]
    session = server.request("PUT", "/session/", files=files).json()["session_id"]
    file, _ = server.client().infer("atlas_segmentation", "", dict(SLICER), session_id=session)
    assert same_place(Path(file), server.studies / "1.2.840.series")
    server.client().remove_session(session)


def test_an_image_with_the_request(server: Serving, tmp_path: Path):
    image = make_image(tmp_path / "a.nii.gz", spacing=(2, 2, 3), shape=(26, 29, 16))
    file, _ = server.client().infer("atlas_segmentation", "", dict(SLICER), file=str(image))
    assert same_place(Path(file), image)


def test_the_next_sample_can_be_fetched(server: Serving, tmp_path: Path):
    sample = server.client().next_sample("random", {})
    assert sample["id"] in server.client().datastore()["objects"] and "path" not in sample
    for name in ("lps", "1.2.840.series"):
        file = tmp_path / f"{name}.nii.gz"
        answer = server.request("GET", "/datastore/image", params={"image": name})
        file.write_bytes(answer.content)
        source = server.studies / name
        assert same_place(file, source if source.is_dir() else source.with_name(f"{name}.nii.gz"))
        assert server.request("HEAD", "/datastore/image", params={"image": name}).status_code == 200


@pytest.mark.parametrize("output", ["json", "image", "all", ""])
def test_kinds_of_answers(server: Serving, output: str):
    import json

    path = f"/infer/atlas_segmentation?image=lps&output={output}"
    answer = server.request("POST", path, data={"params": json.dumps(QUICK)})
    assert answer.status_code == 200 and answer.headers["X-Queue-Position"] == "0"
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind == {"json": "application/json", "image": "application/octet-stream"}.get(output, "multipart/form-data")
    if output == "image":
        assert 'filename="labels.nii.gz"' in answer.headers["content-disposition"]
