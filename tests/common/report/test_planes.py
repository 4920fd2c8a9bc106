"""Slices: which way is up, square pixels, how many there is room for."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from common.report import read_result
from common.report.planes import PLANES, cut, data_uri, jpeg, slice_indices, slice_stacks


@pytest.fixture(scope="module")
def result(result_folder):
    return read_result(result_folder)


@pytest.mark.parametrize(("plane", "columns", "rows"), [("sagittal", 1, 2), ("coronal", 0, 2), ("axial", 0, 1)])
def test_up_is_up_and_left_is_left(result, plane, columns, rows):
    """The world's coordinate grows to the right along columns and upwards along rows."""
    axis = PLANES[plane]
    coordinates = np.stack(np.meshgrid(*[np.arange(n) for n in result.jacobian.shape], indexing="ij"))
    picture = [cut(part, result, axis, result.centre[axis]) for part in coordinates]
    assert (np.diff(picture[columns], axis=1) == 1).all()
    assert (np.diff(picture[rows], axis=0) == -1).all()
    assert (picture[axis] == result.centre[axis]).all()


def test_pixels_are_square_and_pictures_have_a_limit():
    sizes = {}
    for shape, size in (((50, 100), (1.0, 1.0)), ((50, 100), (3.0, 1.0)), ((700, 300), (0.5, 0.5)), ((4, 2), (1, 1))):
        image = Image.open(io.BytesIO(jpeg(np.zeros(shape), size)))
        sizes[shape, size] = image.size
    assert list(sizes.values()) == [(160, 80), (107, 160), (137, 320), (80, 160)]


def test_the_middle_slice_is_one_of_them(result):
    for axis in range(3):
        indices = slice_indices(result, axis, 7)
        assert result.centre[axis] in indices and len(indices) == 7 and indices == sorted(indices)


def test_there_are_as_many_slices_as_there_is_room_for(result):
    many, few = slice_stacks(result, (6, 2)), slice_stacks(result, (6, 2), room=1)
    assert [len(stack["indices"]) for stack in many] == [6, 6, 6]
    assert [len(stack["indices"]) for stack in few] == [2, 2, 2]
    for stack in many:
        assert {len(uris) for uris in stack["layers"].values()} == {6}
        assert stack["indices"][stack["middle"]] == result.centre[PLANES[stack["name"]]]


def test_an_address_holds_the_file():
    kind, _, content = data_uri(b"abc", "image/png").partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(content) == b"abc"
