"""A server as its users start it, for the tests that need MONAI Label: the command, in its own temporary folder."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from tests.common.registration.phantom import make_image
from tests.house import ROOT
from tests.tools.monailabel_app.test_work import make_atlas, write_series
from tools.monailabel_app.atlas import add_atlas

#: No refinement and no alignment: a registration of phantoms in half a second.
QUICK = {"alignment": "none", "refinement": "off"}
#: Studies on grids of all kinds.
GRIDS: dict[str, dict[str, Any]] = {
    "sub-01_ses-01": {},
    "sub-01_ses-02": {"deform": 1.0, "degrees": (12, -8, 20)},
    "anisotropic": {"spacing": (1.5, 4.0, 2.5), "shape": (34, 15, 19)},
    "lps": {"code": "LPS"},
    "mixed": {"code": "PIR", "degrees": (9, -6, 12), "spacing": (1.2, 2.0, 3.0), "shape": (40, 30, 16)},
}


class Serving(NamedTuple):
    """One running server."""

    address: str
    process: subprocess.Popen
    studies: Path
    temporary: Path
    said: str

    def request(self, method: str, path: str, **words: Any) -> Any:
        """One HTTP request."""
        import requests

        return requests.request(method, self.address + path, timeout=300, **words)

    def client(self) -> Any:
        """The client library of Slicer's module."""
        from monailabel.client import MONAILabelClient

        folder = self.temporary.parent / "client"
        folder.mkdir(exist_ok=True)
        return MONAILabelClient(self.address, tmpdir=str(folder))


def make_studies(folder: Path) -> Path:
    """Studies of all kinds, a DICOM series among them, and two atlases beside them."""
    studies = folder / "studies"
    studies.mkdir(parents=True)
    for name, geometry in GRIDS.items():
        make_image(studies / f"{name}.nii.gz", **geometry)
    write_series(make_image(folder / "series.nii.gz", degrees=(0, 0, 15)), studies / "1.2.840.series")
    for name, deform in (("first", 0.5), ("second", -0.5)):
        atlas = make_atlas(folder, name, deform=deform)
        add_atlas(folder / "atlases", name, atlas["image"], atlas["labels"], atlas["names"])
    return studies


@contextmanager
def serving(folder: Path, options: Sequence[str] = (), **environment: str) -> Iterator[Serving]:
    """Serve the studies of a folder; afterwards the server has ended by SIGTERM."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    words = ["label", "--studies", str(folder / "studies"), "--atlas", str(folder / "atlases"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", *words, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=ROOT, env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    said = ""
    try:
        assert process.stdout is not None
        while not (found := re.search(r"serving \d+ studies at (\S+)", said)):
            line = process.stdout.readline()
            assert line, f"the server ended: {said}"
            said += line
        yield Serving(found[1], process, folder / "studies", temporary, said)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def snapshot(*folders: Path) -> dict[str, bytes]:
    """Every file below folders with its content."""
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def files_left(server: Serving) -> list[Path]:
    """Files in the temporary folder; an answer's own may take a moment after its client has it."""
    for _ in range(100):
        left = [path for path in server.temporary.rglob("*") if path.is_file()]
        if not left:
            break
        time.sleep(0.05)
    return left


def same_place(labels: Path, study: Path) -> bool:
    """Whether a label map lies on a study's own voxels, as SimpleITK reads both."""
    import SimpleITK

    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(study)) if study.is_dir() else str(study)
    one, other = SimpleITK.ReadImage(str(labels)), SimpleITK.ReadImage(names)
    parts = ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")
    return all(np.allclose(getattr(one, part)(), getattr(other, part)(), atol=1e-5) for part in parts)


def damaged(folder: Path, kind: str) -> Path:
    """A file that is no image, in one of the ways that files are not."""
    path = folder / f"{kind}.nii.gz"
    if kind == "huge":
        header = nib.Nifti1Header()
        header.set_data_shape((2048, 2048, 2048))
        header.set_sform(np.eye(4), 1)
        header["magic"] = b"n+1\0"
        header["vox_offset"] = 352
        with nib.openers.ImageOpener(path, "wb") as file:
            file.write(header.binaryblock + bytes(4) + bytes(1000))
        return path
    whole = make_image(folder / "whole.nii.gz").read_bytes()
    content = {"empty": b"", "text": b"no image at all", "cut": whole[: len(whole) // 2], "flat": whole}[kind]
    path.write_bytes(content)
    if kind == "flat":
        nib.save(nib.Nifti1Image(np.zeros((8, 8), np.float32), np.eye(4)), path)
    return path
