"""The publisher's commands: ``registry init``, ``add``, ``yank``, ``sign``, ``rotate``."""

import os
from collections.abc import Sequence
from pathlib import Path

from tuf.api.metadata import TargetFile

from common.errors import InputError
from common.writing import save_json
from tools.package import ARCHIVE_NAME, model_info
from tools.registry.entry import describe, read_card
from tools.registry.files import copy_file, file_sha256, write_bytes
from tools.registry.keys import ROLES, check_outside, make_key, new_passphrase
from tools.registry.repository import DAYS, Repository
from tools.registry.settings import key_folder
from tools.validate.command import check, errors_of


def init(registry: Path, key_dir: str = "", passphrase: bool = False, days: str = "") -> None:
    """Make an empty registry and its four keys, and print the fingerprint by which users come to trust it.

    Args:
        registry: folder of the registry, to be served or mirrored whole.
        key_dir: folder for the keys, outside of the registry and of any checkout; default: the user's settings.
        passphrase: encrypt the keys; asked for, or taken from REGISTRATION_KEY_PASSPHRASE.
        days: how long signatures count, such as "timestamp=30,root=730"; see docs/registry.md.

    Raises:
        InputError: the registry or a key is there already, or a file cannot be written.
    """
    path, keys = registry.expanduser(), key_folder(key_dir)
    periods = _days(days)
    check_outside(keys, path)
    if (path / "metadata").exists():
        raise InputError(f"{path}: expected no registry, got one that is there already")
    secret = new_passphrase(passphrase)
    signers = {role: make_key(role, keys, secret) for role in ROLES}
    Repository.create(path, keys, signers, periods)
    print(f"made the registry {path} and the keys {', '.join(ROLES)} in {keys}")
    print("keep a copy of root.pem in a safe place and take it off this machine: it is needed to rotate keys only")
    print(f"fingerprint, for your users: {fingerprint(path)}")


def _days(text: str) -> dict[str, int]:
    days = dict(DAYS)
    for part in filter(None, text.split(",")):
        role, _, number = part.partition("=")
        if role not in DAYS or not number.isdigit() or not 1 <= int(number) <= 3650:
            raise InputError(f"--days: expected such as timestamp=30,root=730 (1 to 3650), got {part!r}")
        days[role] = int(number)
    return days


def fingerprint(registry: Path) -> str:
    """SHA-256 of the newest root metadata."""
    roots = registry.joinpath("metadata").glob("[0-9]*.root.json")
    newest = max(roots, key=lambda path: int(path.name.split(".")[0]))
    return file_sha256(newest)


def add(
    registry: Path, archives: Sequence[str], key_dir: str = "", commit: str = "", without_weights: bool = False
) -> None:
    """Add archives that ``tools package`` wrote and ``tools validate`` finds no error in, and sign the new state.

    Args:
        registry: folder of the registry.
        archives: files named NAME_vX.Y.Z.zip, or a folder of them.
        key_dir: folder of the keys.
        commit: of the repository that they were packed from, for their provenance.
        without_weights: take bundles without weights too; their entries say so.

    Raises:
        InputError: an archive has errors or no weights, or its version is there with other bytes; nothing is added.
    """
    repository = Repository(registry.expanduser(), key_folder(key_dir))
    with repository.lock():
        new = [_checked(archive, repository, commit, without_weights) for archive in _archives(archives)]
        for archive, target, card in new:
            copy_file(archive, repository.path / "targets" / target.path)
            card_path = target.custom["card"]
            write_bytes(repository.path / "targets" / card_path, card)
            repository.files[target.path] = target
            repository.files[card_path] = TargetFile.from_data(card_path, card)
        repository.publish(targets=True)
        write_tables(repository.path)
    for _, target, _ in new:
        print(f"added {target.path} ({target.length / 1e6:.1f} MB), sha256 {target.hashes['sha256']}")


def _archives(given: Sequence[str]) -> list[Path]:
    found = []
    for path in (Path(text).expanduser() for text in given):
        found += sorted(path.glob("*_v*.zip")) if path.is_dir() else [path]
    if not found:
        raise InputError(f"registry add: expected archives, got none in {', '.join(given) or 'nothing'}")
    return found


def _checked(
    archive: Path, repository: Repository, commit: str, without_weights: bool
) -> tuple[Path, TargetFile, bytes]:
    if not ARCHIVE_NAME.match(archive.name) or not archive.is_file():
        raise InputError(f"{archive}: expected an archive named NAME_vX.Y.Z.zip, got no such file or another name")
    errors = errors_of(check(archive))
    if errors:
        more = f" (and {len(errors) - 1} more: tools validate {archive})" if len(errors) > 1 else ""
        raise InputError(f"{archive}: {errors[0].line}{more}")
    target = TargetFile.from_file(archive.name, str(archive))
    about = target.unrecognized_fields["custom"] = describe(archive, commit)
    if about["weights"] == "none" and not without_weights:
        raise InputError(f"{archive}: expected weights in it, got none; --without_weights publishes it all the same")
    known = repository.files.get(archive.name)
    if known is not None and known.hashes != target.hashes:
        raise InputError(
            f"{archive}: this version is in the registry with other bytes: give the bundle a new version, a published "
            "one never changes"
        )
    return archive, target, read_card(archive)


def write_tables(registry: Path) -> None:
    """Write what people without this client read: the model zoo's ``model_info.json``, and ``SHA256SUMS``."""
    folder = registry / "targets"
    save_json(model_info(folder), folder / "model_info.json")
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in sorted(folder.glob("*_v*.*"))]
    write_bytes(folder / "SHA256SUMS", "".join(lines).encode())


def yank(registry: Path, bundle: str, reason: str, key_dir: str = "") -> None:
    """Take a version back: it is no longer chosen, and whoever has it or asks for it by number is told why.

    Its file stays, so that a study that names the version can still be repeated.

    Args:
        registry: folder of the registry.
        bundle: NAME==VERSION.
        reason: what users are told; empty to take the yank itself back.
        key_dir: folder of the keys.

    Raises:
        InputError: there is no such version.
    """
    name, _, version = bundle.partition("==")
    repository = Repository(registry.expanduser(), key_folder(key_dir))
    with repository.lock():
        target = repository.files.get(f"{name}_v{version}.zip")
        if target is None:
            known = ", ".join(path for path in repository.files if path.endswith(".zip")) or "none"
            raise InputError(f"yank {bundle}: expected NAME==VERSION of one of: {known}")
        target.unrecognized_fields.setdefault("custom", {})["yanked"] = reason
        repository.publish(targets=True)
    print(f"{'yanked' if reason else 'took the yank back of'} {target.path}")


def sign(registry: Path, key_dir: str = "", root: bool = False) -> None:
    """Sign the same state for another while; how long is said in docs/registry.md.

    Args:
        registry: folder of the registry.
        key_dir: folder of the keys.
        root: sign the root too, which needs its key.

    Raises:
        InputError: a key is missing.
    """
    repository = Repository(registry.expanduser(), key_folder(key_dir))
    with repository.lock():
        if root:
            repository.renew()
        else:
            repository.publish(targets=True)
    print("\n".join(expiries(repository)))


def expiries(repository: Repository) -> list[str]:
    """Until when each role's signatures count."""
    return [f"{role:<10} until {getattr(repository, role).signed.expires:%Y-%m-%d}" for role in ROLES]


def rotate(registry: Path, role: str, key_dir: str = "", passphrase: bool = False) -> None:
    """Replace the key of a role, after a loss, a leak or a change of staff; users follow by themselves.

    Args:
        registry: folder of the registry.
        role: root, targets, snapshot or timestamp.
        key_dir: folder of the keys; the old one is kept as ROLE.pem.old.
        passphrase: encrypt the new key.

    Raises:
        InputError: no such role, or the root's key is missing.
    """
    if role not in ROLES:
        raise InputError(f"registry rotate: expected one of {', '.join(ROLES)}, got {role!r}")
    keys = key_folder(key_dir)
    repository = Repository(registry.expanduser(), keys)
    with repository.lock():
        new = make_key(role, keys / "next", new_passphrase(passphrase))
        repository.replace_key(role, new)
        if (keys / f"{role}.pem").exists():
            os.replace(keys / f"{role}.pem", keys / f"{role}.pem.old")
        os.replace(keys / "next" / f"{role}.pem", keys / f"{role}.pem")
    print(f"replaced the {role} key; it is in {keys}. fingerprint for new users: {fingerprint(repository.path)}")
