"""A publisher's keys: made by a command, kept out of every tree, readable by their owner alone."""

import getpass
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from common.errors import InputError

ROLES = ("root", "targets", "snapshot", "timestamp")
PASSPHRASE = "REGISTRATION_KEY_PASSPHRASE"
#: A key itself, as PEM, for machines without a disk of their own: REGISTRATION_KEY_ROOT and so on.
VARIABLE = "REGISTRATION_KEY_{}"


def make_key(role: str, folder: Path, passphrase: bytes | None = None) -> CryptoSigner:
    """Make an Ed25519 key and write it as ``ROLE.pem``, which must not be there.

    Args:
        role: root, targets, snapshot or timestamp.
        folder: made if missing, for its owner alone.
        passphrase: encrypts the file.

    Raises:
        InputError: there is such a file, or it cannot be written.
    """
    signer = CryptoSigner.generate_ed25519()
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private = load_pem_private_key(signer.private_bytes, None)
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    path = folder / f"{role}.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise InputError(f"{path}: expected to make a new key, got one that is there already") from error
    except OSError as error:
        raise InputError(f"{path}: expected to write the key, got: {error.strerror}") from error
    return signer


def load_key(role: str, folder: Path) -> CryptoSigner:
    """Read the key of a role from the environment or from ``ROLE.pem``.

    Raises:
        InputError: there is none, others can read the file, or the passphrase is missing or wrong.
    """
    variable = VARIABLE.format(role.upper())
    if text := os.environ.get(variable):
        return _parse(text.encode(), variable)
    path = folder / f"{role}.pem"
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: expected the {role} key there or in {variable}, got: {error.strerror}; "
            "--key_dir names another folder"
        ) from error
    if mode & 0o077 and sys.platform != "win32":
        raise InputError(
            f"{path}: expected a key that its owner alone can read, got mode {mode & 0o777:o}; "
            "others may know it: chmod 600, or better make a new one (registry rotate)"
        )
    return _parse(content, str(path))


def _parse(content: bytes, source: str) -> CryptoSigner:
    try:
        return CryptoSigner(load_pem_private_key(content, None))
    except TypeError:  # it is encrypted
        secret = os.environ.get(PASSPHRASE) or _ask(source)
    except ValueError as error:
        raise InputError(f"{source}: expected a private key as PEM, got: {error}") from error
    try:
        return CryptoSigner(load_pem_private_key(content, secret.encode()))
    except ValueError as error:
        raise InputError(f"{source}: the passphrase does not open this key") from error


def _ask(source: str) -> str:
    if not sys.stdin.isatty():
        raise InputError(f"{source}: expected its passphrase in {PASSPHRASE}, got none")
    return getpass.getpass(f"passphrase of {source}: ")


def new_passphrase(wanted: bool) -> bytes | None:
    """The passphrase of keys to be made, from the environment or asked for twice; None where none is wanted.

    Raises:
        InputError: nobody is there to ask, or the two differ.
    """
    if not wanted:
        return None
    if known := os.environ.get(PASSPHRASE):
        return known.encode()
    first = _ask("the new keys")
    if first != _ask("the new keys, once more") or not first:
        raise InputError("expected the same passphrase twice, got two that differ or none")
    return first.encode()


def check_outside(folder: Path, tree: Path) -> None:
    """Refuse to keep keys where they would be published.

    Args:
        folder: the keys'.
        tree: the registry's.

    Raises:
        InputError: ``folder`` lies in the registry or in a git checkout.
    """
    place, root = folder.expanduser().resolve(), tree.expanduser().resolve()
    if place == root or root in place.parents:
        raise InputError(f"keys {place}: expected a folder outside of the registry {root}, which is public")
    for parent in (place, *place.parents):
        if (parent / ".git").exists():
            raise InputError(f"keys {place}: expected a folder outside of any checkout, got one inside of {parent}")
