from pathlib import Path

import numpy as np
import pytest

from common.data.points import read_points
from common.errors import InputError


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4.5,-5,6e0\n",
        "1 2 3\n4.5\t-5   6",
        "x,y,z\n1,2,3\n\n4.5,-5,6\n",
        "\ufeffx y z\r\n1, 2, 3\r\n4.5, -5, 6\r\n",
        "# voxel indices\n1,2,3\n# and one more\n4.5,-5,6\n",
    ],
)
def test_tables_that_people_write(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8", newline="")
    points = read_points(tmp_path / "p.csv")
    assert points.dtype == np.float64
    assert points.tolist() == [[1, 2, 3], [4.5, -5, 6]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no line with numbers"),
        ("x,y,z\n", "got no line with numbers"),
        ("1,2\n", "line 1: expected three numbers, got '1,2'"),
        ("x,y,z\n\n1,2,3,4\n", "line 3: expected three numbers, got '1,2,3,4'"),
        ("1,2,3\nx,y,z\n", "line 2: expected three numbers, got 'x,y,z'"),
        ("id,2,3\n", "line 1: expected three numbers, got 'id,2,3'"),
        ("1,2,3\n1,nan,3\n", "line 2: expected three numbers, got '1,nan,3'"),
        ("1;2;3\n1;2;3\n", "line 2: expected three numbers, got '1;2;3'"),
    ],
)
def test_the_line_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_points(tmp_path / "p.csv")
    assert str(caught.value).startswith(f"points {tmp_path / 'p.csv'}")
    assert message in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.bin").write_bytes(b"\xff\xfe\x00")
    for name in ("p.bin", "none.csv"):
        with pytest.raises(InputError, match=f"points .*{name}: expected a text file with three numbers a line"):
            read_points(tmp_path / name)
