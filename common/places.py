"""Where bundles lie and how one is found by its name; imported in no time, PyTorch is not needed for it."""

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
