import gzip

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.images import read_header, read_volume, save_volume

SHAPE = (5, 6, 7)
AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -6], [0, 0, 3.0, 7], [0, 0, 0, 1]])
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def volume(dtype: str = "f4") -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 100, SHAPE)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_nifti(tmp_path, dtype):
    nib.save(nib.Nifti1Image(volume(dtype), AFFINE, dtype=dtype), tmp_path / "a.nii.gz")
    image = read_volume(tmp_path / "a.nii.gz", "fixed")
    assert image.voxels.dtype == np.dtype(dtype)
    assert image.grid.shape == SHAPE
    assert np.array_equal(image.voxels, volume())
    assert np.allclose(image.affine, AFFINE)


@pytest.mark.parametrize("dtype", [">i2", ">f4", "<u2"])
def test_both_byte_orders(tmp_path, dtype):
    order = nib.volumeutils.endian_codes[dtype[0]]
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(dtype))
    nib.save(nib.Nifti1Image(volume(dtype), AFFINE, header), tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").get_data_dtype().byteorder in (dtype[0], "=")
    assert np.array_equal(read_volume(tmp_path / "a.nii", "fixed").voxels, volume())


def test_slope_and_intercept(tmp_path):
    image = nib.Nifti1Image(volume("i2"), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    assert float(stored.dataobj.slope) == 0.5
    assert np.allclose(read_volume(tmp_path / "a.nii", "fixed").voxels, stored.get_fdata())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8"])
def test_itk_formats_lie_where_the_same_nifti_lies(tmp_path, suffix, dtype):
    itk = pytest.importorskip("itk")
    path = str(tmp_path / f"a{suffix}")
    nib.save(nib.Nifti1Image(volume("f4"), AFFINE), tmp_path / "b.nii.gz")
    source = itk.imread(str(tmp_path / "b.nii.gz"), itk.F)
    kind = {"u1": itk.UC, "i2": itk.SS, "u2": itk.US, "f4": itk.F, "f8": itk.D}[dtype]
    caster = itk.CastImageFilter[type(source), itk.Image[kind, 3]] if kind != itk.F else None
    itk.imwrite(caster.New(source) if caster else source, path)
    image = read_volume(path, "fixed")
    reference = read_volume(str(tmp_path / "b.nii.gz"), "fixed")
    header = read_header(path, "fixed")
    assert np.allclose(image.affine, reference.affine, atol=1e-5)
    assert header.grid.shape == SHAPE
    assert np.array_equal(image.voxels, reference.voxels)


@pytest.mark.parametrize(("name", "dtype"), [("MET_INT", "i4"), ("MET_UINT", "u4"), ("MET_CHAR", "i1")])
def test_types_that_itks_wheels_do_not_wrap(tmp_path, name, dtype):
    pytest.importorskip("itk")
    header = f"ObjectType = Image\nNDims = 3\nDimSize = 5 6 7\nElementType = {name}\nElementDataFile = LOCAL\n"
    path = tmp_path / "a.mha"
    path.write_bytes(header.encode() + volume(dtype).tobytes(order="F"))
    assert np.array_equal(read_volume(str(path), "fixed").voxels, volume())


def test_other_nibabel_formats(tmp_path):
    nib.save(nib.MGHImage(volume("f4"), AFFINE), tmp_path / "a.mgz")
    nib.save(nib.Nifti2Image(volume("f4"), AFFINE), tmp_path / "b.nii")
    for name in ("a.mgz", "b.nii"):
        image = read_volume(str(tmp_path / name), "fixed")
        assert np.allclose(image.affine, AFFINE, atol=1e-5)
        assert np.array_equal(image.voxels, volume())


def test_a_trailing_axis_of_one_voxel_is_dropped(tmp_path):
    nib.save(nib.Nifti1Image(volume()[..., None], AFFINE), tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii", "fixed").grid.shape == SHAPE


def bad(tmp_path, kind: str):
    """Write a file that is wrong in one way and return its path."""
    path = tmp_path / "bad.nii.gz"
    image = nib.Nifti1Image(volume(), AFFINE)
    if kind == "missing":
        return path
    if kind == "text":
        path.write_text("this is no image")
    elif kind == "text in gzip":
        path.write_bytes(gzip.compress(b"this is no image" * 100))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "unknown suffix":
        path = tmp_path / "bad.xyz"
        path.write_text("this is no image")
    elif kind == "nrrd":
        path = tmp_path / "bad.nrrd"
        path.write_text("this is no image")
    elif kind == "truncated":
        random = np.random.default_rng(0).integers(0, 30000, (20, 20, 20)).astype("i2")
        nib.save(nib.Nifti1Image(random, AFFINE), path)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "truncated nii":
        path = tmp_path / "bad.nii"
        nib.save(image, path)
        path.write_bytes(path.read_bytes()[:600])
    elif kind == "4-D":
        nib.save(nib.Nifti1Image(np.zeros((5, 6, 7, 2), "f4"), AFFINE), path)
    elif kind == "2-D":
        nib.save(nib.Nifti1Image(np.zeros((5, 6), "f4"), AFFINE), path)
    elif kind == "one slice":
        nib.save(nib.Nifti1Image(np.zeros((5, 6, 1), "f4"), AFFINE), path)
    elif kind == "complex":
        nib.save(nib.Nifti1Image(np.zeros(SHAPE, "c8"), AFFINE), path)
    elif kind == "colour":
        nib.save(nib.Nifti1Image(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), AFFINE), path)
    else:
        if kind.endswith("spacing"):  # which counts where there is no sform
            image.set_qform(AFFINE, 1)
            image.set_sform(None, 0)
        _write_bad_header(tmp_path / "bad.nii", image, kind)
        path = tmp_path / "bad.nii"
    return path


def _write_bad_header(path, image: nib.Nifti1Image, kind: str) -> None:
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    header = np.frombuffer(raw, dtype=nib.Nifti1Header.template_dtype, count=1)
    header = header.copy()
    if kind == "negative spacing":
        header["pixdim"][0, 2] = -1.5
    elif kind == "zero spacing":
        header["pixdim"][0, 1] = 0
    elif kind == "zero column":
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row][0, 1] = 0
    elif kind == "singular":
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row][0, 1] = header[row][0, 0]
    elif kind == "NaN affine":
        header["srow_x"][0, 0] = np.nan
    raw[: header.nbytes] = header.tobytes()
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "got no such file"),
        ("text", "expected an image"),
        ("text in gzip", "expected an image"),
        ("empty", "expected an image"),
        ("unknown suffix", "expected an image"),
        ("nrrd", "expected an image"),
        ("truncated", "expected a complete image, got a truncated or damaged one"),
        ("truncated nii", "expected a complete image, got a truncated or damaged one"),
        ("4-D", "expected a 3-D image .* got 4-D of shape 5x6x7x2"),
        ("2-D", "expected a 3-D image .* got 2-D of shape 5x6"),
        ("one slice", "expected a 3-D image .* got 2-D of shape 5x6x1"),
        ("complex", "expected integer or float voxels, got complex64"),
        ("colour", "expected integer or float voxels"),
        ("negative spacing", r"spacing above zero along every axis, got \(1.5, -1.5, 3\)"),
        ("zero spacing", r"spacing above zero along every axis, got \(0, 2, 3\)"),
        ("zero column", r"spacing above zero along every axis, got \(1.5, 0, 3\)"),
        ("singular", "expected an affine whose three axes span the space, got a singular one"),
        ("NaN affine", "expected a finite 4x4 affine"),
    ],
)
def test_bad_files_end_with_one_line_that_names_them(tmp_path, kind, text):
    path = bad(tmp_path, kind)
    with pytest.raises(InputError, match=text) as caught:
        read_volume(str(path), "moving")
    assert str(path) in str(caught.value)
    assert str(caught.value).startswith("moving image ")
    assert "\n" not in str(caught.value)


def test_a_folder_without_dicom_is_told(tmp_path):
    pytest.importorskip("itk")
    with pytest.raises(InputError, match="0 DICOM series"):
        read_volume(str(tmp_path), "fixed")


def test_in_ras_every_voxel_stays_where_it_is(tmp_path):
    nib.save(nib.Nifti1Image(volume(), AFFINE), tmp_path / "a.nii")
    image = read_volume(tmp_path / "a.nii", "fixed")
    turned = image.in_ras()
    assert nib.aff2axcodes(turned.affine) == ("R", "A", "S")
    assert turned.grid.spacing.tolist() == [2.0, 1.5, 3.0]
    expected = nib.as_closest_canonical(nib.load(tmp_path / "a.nii"))
    assert np.array_equal(turned.voxels, expected.get_fdata())
    assert np.allclose(turned.affine, expected.affine)


# Writing


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4"])
def test_a_written_volume_holds_voxels_and_place_and_nothing_else(tmp_path, dtype):
    save_volume(volume(), AFFINE, tmp_path / "a.nii.gz", dtype)
    image = nib.load(tmp_path / "a.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj), volume())
    assert image.get_data_dtype() == np.dtype(dtype)
    assert image.header.get_xyzt_units()[0] == "mm"
    for matrix, code in (image.header.get_sform(coded=True), image.header.get_qform(coded=True)):
        assert code == 1
        assert np.allclose(matrix, AFFINE, atol=1e-5)
    fresh = nib.Nifti1Header()
    for name in ("descrip", "intent_code", "intent_name", "aux_file", "db_name", "cal_max", "slice_code", "toffset"):
        assert image.header[name] == fresh[name], name


def test_sheared_axes_are_written_where_they_can_be(tmp_path):
    sheared = AFFINE.copy()
    sheared[:3, 0] += 0.1 * sheared[:3, 1]
    save_volume(volume(), sheared, tmp_path / "a.nii.gz")
    header = nib.load(tmp_path / "a.nii.gz").header
    assert np.allclose(header.get_sform(coded=True)[0], sheared)
    assert int(header["qform_code"]) == 0
    assert np.allclose(read_volume(tmp_path / "a.nii.gz", "fixed").affine, sheared)


def test_more_voxels_than_nifti_1_can_count(tmp_path):
    save_volume(np.zeros((40000, 2, 2), "f4"), np.eye(4), tmp_path / "a.nii.gz")
    assert read_volume(tmp_path / "a.nii.gz", "fixed").grid.shape == (40000, 2, 2)
