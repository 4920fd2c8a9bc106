"""deepbet's networks: only those that are known are loaded."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.images import read_volume
from common.registration.brain_network import DIGESTS, extract_by_network, is_installed, read_known
from tests.conftest import shared_path


def test_a_file_that_is_not_known_is_refused(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"another")
    with pytest.raises(InputError, match=r"model.pt: expected deepbet's network of version 1.0.2 .*, got another file"):
        read_known(tmp_path / "model.pt", DIGESTS["model.pt"])
    with pytest.raises(InputError, match="got: No such file"):
        read_known(tmp_path / "absent.pt", DIGESTS["model.pt"])
    known = hashlib.sha256(b"another").hexdigest()
    assert read_known(tmp_path / "model.pt", known).read() == b"another"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "litres"), [("head_t1", 1.55), ("head_t2", 1.43), ("head_pd", 1.57)])
def test_acquired_heads(name: str, litres: float):
    if not is_installed():
        pytest.skip("deepbet is not installed")
    volume = read_volume(shared_path(f"data/real/{name}.nii.gz"), "head")
    mask = extract_by_network(volume.voxels, volume.affine)
    found = mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1e6
    assert mask.shape == volume.voxels.shape and found == pytest.approx(litres, rel=0.02)
    assert "customtkinter" not in sys.modules and "tkinter" not in sys.modules
