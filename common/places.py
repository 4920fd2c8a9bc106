"""Where bundles lie, how one is found by its name, and files that are known by their hash; needs no PyTorch."""

import hashlib
import os
import sys
from pathlib import Path

import common
from common.errors import InputError

#: Environment variable that names another folder for bundles than the user's data folder.
FOLDER_VARIABLE = "REGISTRATION_BUNDLES"


def user_folder() -> Path:
    """Where a user's bundles lie: ``$REGISTRATION_BUNDLES``, else the platform's folder for programs' data."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "registration-bundles" / "bundles"


def bundle_folders() -> dict[str, Path]:
    """Every bundle that is found by its name: those of the checkout, then those in the user's folder."""
    checkout = Path(common.__file__).resolve().parents[1] / "bundles"
    found: dict[str, Path] = {}
    for place in (checkout, user_folder()):
        for config in sorted(place.glob("*/configs/inference.json")):
            found.setdefault(config.parents[1].name, config.parents[1])
    return found


def find_bundle(bundle: str | Path) -> Path:
    """Return the folder of a bundle.

    Args:
        bundle: a folder with ``configs/inference.json`` in it, or the name of a bundle of the checkout or of the user's
            folder.

    Raises:
        InputError: there is none; the text says where it was looked for and how to get one.
    """
    named = Path(str(bundle)).expanduser()
    if (named / "configs" / "inference.json").is_file():
        return named.resolve()
    known = bundle_folders()
    if str(bundle) in known:
        return known[str(bundle)].resolve()
    here = f", or one of: {', '.join(known)}" if known else ", and no bundle is installed"
    raise InputError(
        f"no bundle {bundle}: expected a folder with configs/inference.json{here}; to get one: registration-bundles "
        f"download {bundle}, or its zip is unpacked into {user_folder()} (or into the folder that {FOLDER_VARIABLE} "
        "names); register --bundle none needs none"
    )


def read_known(path: Path, digest: str, what: str, advice: str = "") -> bytes:
    """The content of a file, if it is the one that is known: what was hashed is what is returned.

    Args:
        path: the file.
        digest: its SHA-256.
        what: the file in the errors' words.
        advice: what follows where it is another one.

    Raises:
        InputError: there is no such file, or it is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected {what}, got: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise InputError(
            f"{path}: expected {what} (SHA-256 {digest[:12]}...), got another file ({found[:12]}...){advice}"
        )
    return content
