"""``python -m tools label``: the MONAI Label server that 3D Slicer talks to."""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError


def label(
    studies: Path,
    atlas: str = "",
    host: str = "127.0.0.1",
    port: int = 8000,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    queue: int = 8,
    memory_gb: float = 0.0,
    seconds: float = 1800.0,
    largest_mb: int = 2000,
    certificate: str = "",
    key: str = "",
) -> None:
    """Serve registration to 3D Slicer and other clients of MONAI Label, until Ctrl-C.

    Elsewhere than on loopback a token is needed: that of the environment variable REGISTRATION_LABEL_TOKEN, else a new
    one that is printed.

    Args:
        studies: folder of images (NIfTI, NRRD, MHA, MGH, folders of one DICOM series); labels go into its labels/.
        atlas: folder of atlases, see `tools atlas add`; the sample's is always there.
        host: address to listen on.
        port: 0 takes a free one.
        allowed_hosts: further names under which clients call this server.
        allowed_origins: web pages that may call it, such as https://viewer.example.
        queue: how many requests may wait.
        memory_gb: memory that a registration may take; 0 for no bound.
        seconds: that a registration may take.
        largest_mb: size of the largest upload.
        certificate: PEM file, for https.
        key: PEM file of its key.

    Raises:
        InputError: MONAI Label is not installed, or a folder or the address cannot be used.
    """
    if importlib.util.find_spec("monailabel") is None:
        raise InputError("expected MONAI Label, got none: pip install --no-deps -r requirements-label.txt")
    if not studies.expanduser().is_dir():
        raise InputError(f"studies folder {studies}: expected a folder, got none")
    from tools.monailabel_app.access import TOKEN, access_for
    from tools.monailabel_app.serve import Bounds, serve

    token = os.environ.get(TOKEN, "")
    access = access_for(host, token, tuple(allowed_hosts), tuple(allowed_origins), largest_mb * 10**6)
    if access.token and not token:
        print(f"token (in Slicer: any user name, and this as the password): {access.token}", flush=True)
    temporary = Path(tempfile.mkdtemp(prefix="registration-label-"))
    try:
        serve(studies, atlas, host, port, access, Bounds(queue, memory_gb, seconds), temporary, (certificate, key))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
