"""Where a user's registry, trusted root, keys, bundles and caches are: options first, then environment, then a file.

The file is ``config.json`` in the user's folder of settings; ``python -m tools registry trust`` writes it::

    {"registry": "https://registry.hospital.example/bundles", "root": "root.json"}
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.places import user_folder

REGISTRY, ROOT, KEYS = "REGISTRATION_REGISTRY", "REGISTRATION_ROOT", "REGISTRATION_KEYS"
SETTINGS, CACHE = "REGISTRATION_SETTINGS", "REGISTRATION_CACHE"
_PROGRAM = "registration-bundles"


def settings_folder() -> Path:
    """The user's settings: ``$REGISTRATION_SETTINGS``, else the platform's folder for them."""
    return _folder(SETTINGS, "APPDATA", "Library/Application Support", "XDG_CONFIG_HOME", ".config")


def cache_folder() -> Path:
    """What may be deleted at any time: ``$REGISTRATION_CACHE``, else the platform's folder for caches."""
    return _folder(CACHE, "LOCALAPPDATA", "Library/Caches", "XDG_CACHE_HOME", ".cache")


def _folder(variable: str, windows: str, mac: str, xdg: str, home: str) -> Path:
    if named := os.environ.get(variable):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get(windows) or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / mac
    else:
        base = Path(os.environ.get(xdg) or Path.home() / home)
    return base / _PROGRAM


def key_folder(given: str = "") -> Path:
    """Where a publisher's keys lie."""
    return Path(given or os.environ.get(KEYS) or settings_folder() / "keys").expanduser()


def bundle_folder(given: str = "") -> Path:
    """Where bundles are installed: the option, else the folder in which runs look for them."""
    return Path(given).expanduser() if given else user_folder()


def config_file() -> Path:
    """The user's ``config.json``."""
    return settings_folder() / "config.json"


def read_config() -> dict[str, Any]:
    """The content of ``config.json``; empty where there is none.

    Raises:
        InputError: it is no JSON object of texts.
    """
    path = config_file()
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a JSON object, got: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise InputError(f"{path}: expected a JSON object with texts as values, got {content!r}")
    return content


def registry_url(given: str = "") -> str:
    """The address of the registry: the option, else ``$REGISTRATION_REGISTRY``, else ``config.json``.

    Returns:
        A URL of http, https or file, without a slash at its end. A folder becomes a file URL.

    Raises:
        InputError: none is known, or it is of another kind.
    """
    chosen = given or os.environ.get(REGISTRY) or read_config().get("registry", "")
    if not chosen:
        raise InputError(
            "no registry is known: expected --registry URL_OR_FOLDER, the environment variable "
            f'{REGISTRY}, or "registry" in {config_file()}; python -m tools registry trust writes the latter'
        )
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", chosen)  # one letter is a drive of Windows
    if scheme is None:
        folder = Path(chosen).expanduser().resolve()
        if not folder.is_dir():
            raise InputError(f"registry {chosen}: expected a folder or a URL, got no such folder")
        return folder.as_uri()
    if scheme[1].lower() not in ("http", "https", "file"):
        raise InputError(f"registry {chosen}: expected http, https, file or a folder, got {scheme[1]}")
    return chosen.rstrip("/")


def trusted_root(given: str = "") -> bytes:
    """The pinned ``root.json`` from which all trust comes: option, ``$REGISTRATION_ROOT``, ``config.json``.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    named = given or os.environ.get(ROOT) or read_config().get("root", "")
    if not named:
        raise InputError(
            "no registry is trusted yet: get the fingerprint from its publisher, not from the registry, then run "
            "python -m tools registry trust URL_OR_FOLDER --fingerprint SHA256; "
            f"or name the publisher's root.json by --root or {ROOT}"
        )
    path = settings_folder() / Path(named).expanduser()  # an absolute one stays
    if given and not path.is_file():
        path = Path(given).expanduser()
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"trusted root {path}: expected a readable file, got: {error.strerror}") from error


def metadata_cache(url: str, root: bytes) -> Path:
    """Folder of what is known of a registry: one for each address and pinned root, none answers for another."""
    return cache_folder() / "metadata" / hashlib.sha256(url.encode() + b"\0" + root).hexdigest()[:32]
