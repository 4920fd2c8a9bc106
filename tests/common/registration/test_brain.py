"""The step that strips heads: what it recognises, what it leaves alone, what it says and writes."""

import json
import logging
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

import common.registration.brain as brain
from common.errors import InputError
from common.images import save_volume
from common.registration import ExtractBraind, SaveRegistrationd, ToFixedGridd, ToNetworkGridd
from common.registration.brain import stripped
from common.registration.summary import summary_lines
from tests.common.registration.phantom import WavyNetwork, world_points
from tests.common.registration.pipeline import metrics_of
from tests.common.registration.skull import AXES, head_ct


def head_mr() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A head in an MR: voxels, brain, affine."""
    ct, inside, affine = head_ct()
    mr = np.where(ct > 300, 5.0, np.where(ct > -100, 200.0, 3.0)) + np.where(inside, 100.0, 0.0)
    return (mr + np.random.default_rng(1).normal(0, 1, mr.shape)).astype(np.float32), inside, affine


def tensor(volume: np.ndarray, affine: np.ndarray, name: str) -> MetaTensor:
    return MetaTensor(
        torch.from_numpy(volume[None].astype(np.float32)),
        affine=torch.from_numpy(affine),
        meta={"filename_or_obj": name},
    )


def pair(**images: tuple[np.ndarray, np.ndarray]) -> dict:
    now = time.perf_counter()
    return {role: tensor(*image, f"{role}.nii.gz") for role, image in images.items()} | {"clock": {"start": now}}


@pytest.fixture
def deepbet(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Stands for the extra: the phantom's own ellipsoid; returns the shapes that were asked for."""
    asked = []

    def extract(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        asked.append(volume.shape)
        points = world_points(volume.shape, affine)
        return np.linalg.norm(points / AXES, axis=-1) < 1.04

    monkeypatch.setattr(brain, "is_installed", lambda: True)
    monkeypatch.setattr(brain, "extract_by_network", extract)
    return asked


def figures(data: dict) -> dict:
    return json.loads(data["brain_figures"])


def test_a_head_is_stripped_and_a_brain_is_not_touched(deepbet: list):
    head, inside, affine = head_mr()
    only = np.where(inside, head, 0)
    out = ExtractBraind()(pair(fixed=(only, affine), moving=(head, affine)))
    assert deepbet == [head.shape]
    assert torch.equal(out["fixed"], pair(fixed=(only, affine))["fixed"]) and "fixed_mask" not in out
    mask = out["moving_mask"][0].numpy() > 0
    assert np.array_equal(out["moving"][0].numpy()[mask], head[mask])
    assert (out["moving"][0].numpy()[~mask] == min(0, head.min())).all()
    assert np.array_equal(out["moving_whole"][0].numpy(), head)
    assert figures(out)["word"] == "moving: a whole head, stripped to the brain by deepbet"
    assert figures(out)["moving"]["millilitres"] == pytest.approx(
        1.04**3 * 4 / 3 * np.pi * AXES.prod() / 1000, rel=0.01
    )
    assert figures(out)["fixed"]["method"] == "none"


def test_a_ct_needs_no_extra_and_gets_the_window_of_the_weights(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(brain, "is_installed", lambda: False)
    volume, inside, affine = head_ct()
    out = ExtractBraind()(pair(fixed=(np.where(inside, volume, 0), affine), moving=(volume, affine)))
    voxels, mask = out["moving"][0].numpy(), out["moving_mask"][0].numpy() > 0
    assert (voxels.min(), voxels.max() <= 80) == (0, True) and (voxels[~mask] == 0).all()
    assert "CT thresholds" in figures(out)["word"]


def test_without_the_extra_it_is_said_once_and_the_run_goes_on(monkeypatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(brain, "is_installed", lambda: False)
    head, inside, affine = head_mr()
    with caplog.at_level(logging.WARNING):
        out = ExtractBraind()(pair(fixed=(np.where(inside, head, 0), affine), moving=(head, affine)))
    assert np.array_equal(out["moving"][0].numpy(), head) and "moving_mask" not in out
    assert len(caplog.records) == 1
    assert "moving image moving.nii.gz looks like a whole head" in caplog.text
    assert "pip install 'registration-bundles[brain]', or give a mask (moving_mask)" in caplog.text


@pytest.mark.parametrize(("scale", "method"), [(3.0, "none"), (0.3, "failed")])
def test_what_cannot_be_a_brain_in_a_head_is_not_used(scale: float, method: str, deepbet, monkeypatch):
    head, _, affine = head_mr()
    points = world_points(head.shape, affine)
    monkeypatch.setattr(brain, "extract_by_network", lambda *_: np.linalg.norm(points / AXES, axis=-1) < scale)
    out = ExtractBraind()(pair(fixed=(head, affine), moving=(head, affine)))
    assert np.array_equal(out["fixed"][0].numpy(), head) and "fixed_mask" not in out
    assert figures(out)["fixed"]["method"] == method


def test_given_masks_are_used_as_they_are(deepbet: list):
    head, inside, affine = head_mr()
    mask = inside & (np.arange(inside.shape[0]) > 50)[:, None, None]
    given = {"moving_mask": tensor(mask, affine, "mask.nii.gz")}
    data = pair(fixed=(np.where(inside, head, 0), affine), moving=(head, affine)) | given
    for mode in ("auto", "none"):
        out = ExtractBraind(mode)(data)
        assert np.array_equal(out["moving"][0].numpy(), stripped(head, mask))
        assert figures(out)["moving"]["method"] == "given" and not deepbet


def test_switched_off_nothing_happens(deepbet: list):
    head, _, affine = head_mr()
    out = ExtractBraind("none")(pair(fixed=(head, affine), moving=(head, affine)))
    assert "brain_figures" not in out and not deepbet
    with pytest.raises(InputError, match="brain: expected one of auto, none, got 'yes'"):
        ExtractBraind("yes")


def test_the_files_of_a_run(deepbet: list, tmp_path: Path):
    head, inside, affine = head_mr()
    save_volume(head, affine, tmp_path / "moving.nii.gz")
    data = pair(fixed=(np.where(inside, head, 0), affine), moving=(head, affine))
    out = ToNetworkGridd(spacing=4.0, multiple=8)(ExtractBraind()(data))
    out["pred"] = 0 * WavyNetwork()(out["image"][None])[0]
    out = SaveRegistrationd(tmp_path / "out")(ToFixedGridd()(out))
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "moving_brain_mask.nii.gz" in written and "fixed_brain_mask.nii.gz" not in written
    mask = nib.load(tmp_path / "out" / "moving_brain_mask.nii.gz")
    assert np.allclose(mask.affine, affine) and mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.get_fdata() > 0, out["moving_mask"][0].numpy() > 0)
    moved = nib.load(tmp_path / "out" / "moved.nii.gz").get_fdata()
    assert np.allclose(moved, head, atol=0.05)  # the whole head, not the brain
    metrics = metrics_of(tmp_path / "out")
    assert metrics["brain"]["moving"]["method"] == "deepbet"
    assert "  moving: a whole head, stripped to the brain by deepbet" in summary_lines(metrics, [tmp_path / "x"])
