"""The Python of the how-to pages runs as it stands there, in a folder with the files that it names."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from common.geometry.transforms import Affine
from common.registration.transform_files import write_transform
from tests.common.geometry.test_transforms import affine, field
from tests.common.registration.phantom import make_image
from tests.house import ROOT

pytest.importorskip("SimpleITK")


@pytest.mark.parametrize("page", ["alignment", "transforms"])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch):
    make_image(tmp_path / "fixed.nii.gz")
    make_image(tmp_path / "moving.nii.gz", degrees=(10, 0, 15), shift=(5, 0, 0), code="LPI")
    write_transform(field(), tmp_path / "warp.nii.gz")
    write_transform(Affine(affine()), tmp_path / "affine.mat")
    write_transform(Affine(np.eye(4)), tmp_path / "transform.h5")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"docs/{page}.md", "exec"), names)
    assert {"affine.mat"} <= set(os.listdir())
