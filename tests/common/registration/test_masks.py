"""Masks that come with a pair: on grids of their own; what is excluded changes nothing."""

import time

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.geometry import Grid
from common.registration import AlignPaird, RefineFieldd, ToFixedGridd, ToNetworkGridd, UseMasksd, alignment, masks
from common.registration.align import Alignment, align
from common.registration.masks import counted_of, counted_on
from common.registration.mutual_information import look_at, prepare
from tests.common.registration.phantom import CENTRE, brain, centred_affine, world_points

SHAPE = (40, 46, 38)
AFFINE = centred_affine(SHAPE, spacing=(1.0, 1.0, 1.0))
LESION = CENTRE + np.array([6.0, 5.0, 2.0])


def tensor(volume: np.ndarray, affine: np.ndarray = AFFINE, name: str = "image.nii.gz") -> MetaTensor:
    return MetaTensor(
        torch.from_numpy(volume[None].astype(np.float32)),
        affine=torch.from_numpy(affine),
        meta={"filename_or_obj": name},
    )


def lesion(shape: tuple[int, int, int] = SHAPE, affine: np.ndarray = AFFINE, radius: float = 5.0) -> np.ndarray:
    return np.linalg.norm(world_points(shape, affine) - LESION, axis=-1) < radius


def pair(inside: float, role: str = "fixed") -> dict:
    """Two subjects; what ``role`` shows in the lesion is ``inside`` plus noise of that strength."""
    points = world_points(SHAPE, AFFINE)
    images = {"fixed": brain(points), "moving": brain(points + 1.5 * np.sin(points[..., [1, 2, 0]] / 9.0))}
    noise = np.random.default_rng(abs(int(inside))).normal(0, abs(inside) / 3 + 1, SHAPE)
    images[role] = np.where(lesion(), inside + noise, images[role])
    data = {key: tensor(volume, name=f"{key}.nii.gz") for key, volume in images.items()}
    return data | {f"{role}_exclude": tensor(lesion(), name="lesion.nii.gz"), "clock": {"start": time.perf_counter()}}


def registered(data: dict) -> dict:
    out = ToNetworkGridd(spacing=1.0, multiple=8)(UseMasksd()(data))
    out["pred"] = torch.zeros(3, *out["image"].shape[1:])
    return ToFixedGridd()(RefineFieldd("fast", "correlation")(out))


@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_values_inside_of_an_excluded_region_change_nothing(role: str):
    """Network grid and refinement, down to the last bit."""
    first, second = (registered(pair(inside, role)) for inside in (40.0, -3000.0))
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["ddf"], second["ddf"]) and float(first["ddf"].abs().max()) > 0.5
    assert np.array_equal(first["counted"], second["counted"])
    assert not torch.equal(first["moved"], second["moved"]) or role == "fixed"  # the moved image is the whole one


def test_without_the_exclusion_they_do():
    one, other = (pair(inside) for inside in (40.0, 300.0))
    for data in (one, other):
        del data["fixed_exclude"]
    assert not torch.equal(registered(one)["ddf"], registered(other)["ddf"])


def test_the_alignment_sees_nothing_of_an_excluded_region():
    """Everything that its metric is computed from is made by ``prepare``."""
    images = []
    for inside in (40.0, -3000.0):
        look = look_at(pair(inside)["fixed"], None, lesion())
        images.append(prepare(look, 1.0, 10.0))
    assert np.array_equal(images[0].voxels, images[1].voxels) and np.array_equal(images[0].points, images[1].points)
    assert np.linalg.norm(images[0].points - LESION, axis=1).min() > 4.0
    excluded = np.linalg.norm(world_points(images[0].grid.shape, images[0].grid.affine) - LESION, axis=-1) < 4.0
    assert not images[0].known[excluded].any() and images[0].known[~excluded].mean() > 0.9


def test_the_step_hands_the_regions_to_the_alignment(monkeypatch: pytest.MonkeyPatch):
    given: dict = {}

    def switched_off(*images: MetaTensor, **excluded: MetaTensor) -> Alignment:
        given.update(excluded)
        return align(images[0], images[1], "none")

    monkeypatch.setattr(alignment, "align", switched_off)
    data = pair(40.0)
    AlignPaird()(data)
    assert given["fixed_exclude"] is data["fixed_exclude"] and "moving_exclude" not in given


def test_a_mask_may_have_a_grid_of_its_own():
    shape, affine = (30, 25, 20), centred_affine((30, 25, 20), spacing=(2.0, 2.0, 2.0), degrees=(0, 0, 30))
    data = pair(40.0) | {"fixed_exclude": tensor(lesion(shape, affine), affine, "lesion.nii.gz")}
    out = UseMasksd()(data)
    mask = out["fixed_exclude"][0].numpy() > 0
    assert mask.shape == SHAPE
    assert 2 * (mask & lesion()).sum() / (mask.sum() + lesion().sum()) > 0.8


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.zeros(SHAPE), r"fixed_exclude lesion.nii.gz: expected a mask of fixed.nii.gz, got one that is empty"),
        (np.ones(SHAPE), "expected a region within the image, got all of it"),
    ],
)
def test_a_mask_that_says_nothing(mask: np.ndarray, text: str):
    with pytest.raises(InputError, match=text):
        UseMasksd()(pair(40.0) | {"fixed_exclude": tensor(mask, name="lesion.nii.gz")})


def test_a_mask_of_another_place():
    far = AFFINE + np.array([[0, 0, 0, 900.0], *[[0.0] * 4] * 3])
    with pytest.raises(InputError, match="got one that shows nothing of it"):
        UseMasksd()(pair(40.0) | {"fixed_exclude": tensor(lesion(), far, "lesion.nii.gz")})


def test_what_counts_on_the_network_grid_and_behind():
    data = UseMasksd()(pair(40.0, "moving"))
    shift = np.eye(4)
    shift[0, 3] = 3.0  # fixed points land 3 mm to the right in the moving image
    counted = counted_on(data, Grid(SHAPE, AFFINE), shift)
    assert counted is not None and bool((counted[1] == 1).all())
    assert np.array_equal(counted[0].numpy()[:-3] == 0, lesion()[3:])
    ddf = torch.zeros(3, *SHAPE)
    ddf[0] = 3.0
    assert np.array_equal(counted_of(data, ddf)[:-3], ~lesion()[3:])
    assert counted_on({}, Grid(SHAPE, AFFINE)) is None and counted_of({}, ddf).all()


def cropped(above: int) -> dict:
    """One subject twice; the moving image's field of view ends in the brain."""
    voxels = brain(world_points(SHAPE, AFFINE))
    return {"fixed": tensor(voxels), "moving": tensor(voxels[..., :above], name="moving.nii.gz")}


def test_nothing_counts_beyond_a_face_that_cuts_the_anatomy():
    shift = np.eye(4)
    shift[2, 3] = -4.0  # fixed points land 4 mm further down in the moving image
    counted = counted_on(cropped(24), Grid(SHAPE, AFFINE), shift)
    assert counted is not None and bool((counted[1] == 1).all())
    assert bool((counted[0, ..., :28] == 1).all()) and bool((counted[0, ..., 28:] == 0).all())
    ddf = torch.zeros(3, *SHAPE)
    ddf[2] = 2.0
    assert np.array_equal(counted_of(cropped(24), ddf), np.arange(SHAPE[2]) < np.full(SHAPE, 22))


def test_the_field_stays_where_it_is_beyond_such_a_face(monkeypatch: pytest.MonkeyPatch):
    """The anatomy that is not there is not looked for: nothing is pulled over the face."""
    moved = []
    for faces in (masks.cut_faces, lambda mask: ()):
        monkeypatch.setattr(masks, "cut_faces", faces)
        out = registered(cropped(26) | {"clock": {"start": time.perf_counter()}})
        shown = out["fixed"][0, ..., 26:].numpy() > 5
        moved.append(float(out["ddf"].as_tensor().norm(dim=0)[..., 26:].numpy()[shown].mean()))
    assert moved[0] < 1 < 4 < moved[1]


def test_faces_that_would_leave_nothing_are_left_alone():
    shift = torch.eye(4, dtype=torch.float64)
    shift[2, 3] = 60.0  # all of the fixed image lands beyond the moving one's face
    data = cropped(24) | {"alignment": shift, "clock": {"start": time.perf_counter()}}
    assert "counted" not in ToNetworkGridd(spacing=1.0, multiple=8)(data)
