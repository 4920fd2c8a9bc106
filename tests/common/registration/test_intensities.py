"""What a network sees does not depend on padding, metal or hot voxels; ordinary images are scaled as ever."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.registration import LoadPaird, ToNetworkGridd, ValidatePaird
from common.registration.intensities import held, range_of, window_for
from tests.common.registration.phantom import brain, centred_affine, make_image, world_points
from tests.conftest import shared_path

SHAPE = (26, 29, 23)
INSIDE = brain(world_points(SHAPE, centred_affine(SHAPE))) > 0
#: Kinds of images: the air around, and what stands for tissue of 30 to 80.
T1, CT = (0.0, 4.0), (-1024.0, 0.6)


def picture(air: float, factor: float) -> np.ndarray:
    values = brain(world_points(SHAPE, centred_affine(SHAPE))) * factor
    return np.where(INSIDE, values, air).astype(np.float32)


def seen(tmp_path, values: np.ndarray, **options) -> np.ndarray:
    """The fixed channel of a pair on the network's grid."""
    nib.save(nib.Nifti1Image(values, centred_affine(SHAPE)), tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=2.0)
    data = ValidatePaird()(LoadPaird()({"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}))
    return ToNetworkGridd(spacing=2.0, multiple=8, **options)(data)["image"][1].numpy()


def padded(values: np.ndarray, value: float) -> np.ndarray:
    """What a scanner writes outside of its round field of view."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE[:2]], indexing="ij")
    return np.where((x**2 + y**2 < 1.4)[..., None] | INSIDE, values, np.float32(value))


def metal(values: np.ndarray, value: float, count: int = 1) -> np.ndarray:
    out = values.copy()
    out[12, 13, 8 : 8 + count] = value
    return out


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (CT, lambda v: padded(v, -3024)),
        (CT, lambda v: metal(v, 3071)),
        (CT, lambda v: metal(padded(v, -2000), 3071, 3)),
        (T1, lambda v: metal(v, 60000)),
        (T1, lambda v: metal(v, 5000, 3)),
        (T1, lambda v: np.where(INSIDE, v, np.float32(-1024))),
        (T1, lambda v: np.where(INSIDE, v, np.float32(np.nan))),
    ],
)
def test_a_few_extreme_voxels_and_padding_change_nothing(tmp_path, kind, change):
    clean, changed = seen(tmp_path, picture(*kind)), seen(tmp_path, change(picture(*kind)))
    assert clean.shape == changed.shape
    away = np.abs(clean - changed)
    assert np.quantile(away, 0.999) < 0.15 and away.mean() < 0.02  # but for the voxels themselves and the rim


def test_ct_is_cut_to_soft_tissue(tmp_path, caplog):
    values = picture(*CT)
    skull = values.copy()
    skull[INSIDE & (values > 60)] = 900
    channel = seen(tmp_path, skull)
    assert channel[channel > 0].min() < 0.5 and channel.max() == 1
    assert "fixed image" in caplog.text and "is taken for CT: 0 to 80 HU are used; --window sets others" in caplog.text
    wide = seen(tmp_path, skull, window=[-100, 900])
    assert np.median(wide[wide > 0.05]) < np.median(channel[channel > 0.05])


def test_ct_by_its_header(tmp_path):
    """A stripped CT has no air; DICOM says what it is."""
    values = torch.from_numpy(picture(0.0, 3.0))[None]
    for modality, high in (("CT", 80.0), ("MR", float(values.max()))):
        image = MetaTensor(values, affine=torch.eye(4), meta={"filename_or_obj": "x", "modality": modality})
        assert range_of({"fixed": image}, "fixed") == (0.0, high)


def test_ordinary_images_keep_minimum_and_maximum():
    for path in sorted(shared_path("data/2mm/images").glob("*.nii.gz")):
        values = np.asarray(nib.load(path).dataobj, dtype=np.float32)
        image = MetaTensor(torch.from_numpy(values)[None], affine=torch.eye(4), meta={"filename_or_obj": str(path)})
        assert range_of({"fixed": image}, "fixed") == (values.min(), values.max()), path.name


@pytest.mark.parametrize(
    ("option", "ct", "window"),
    [
        ("auto", True, (0, 80)),
        ("auto", False, None),
        ("none", True, None),
        (None, True, None),
        ([-50, 150], True, (-50, 150)),
        ([-50, 150], False, None),
        ({"fixed": [0, 100]}, False, (0, 100)),
        ({"moving": [0, 100]}, True, (0, 80)),
    ],
)
def test_the_option(option, ct, window):
    assert window_for(option, "fixed", ct) == window


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("brain", "window: expected auto, none or two values such as .0, 80., got 'brain'"),
        ([80, 0], "window: expected a lower and a higher value"),
        ({"both": [0, 1]}, "window: expected the roles fixed and moving, got both"),
    ],
)
def test_what_is_no_window(option, text):
    with pytest.raises(InputError, match=text):
        ToNetworkGridd(window=option)


def test_figures_are_held_to_the_range():
    data = {"fixed_range": torch.tensor([0.0, 2.0])}
    assert held(torch.tensor([-1.0, 1, 9]), data, "fixed").tolist() == [0, 1, 2]
    assert held(torch.tensor([-1.0, 9]), data, "moving").tolist() == [-1, 9]
