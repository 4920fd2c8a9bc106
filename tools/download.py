"""``python -m tools download``: a bundle from a signed registry, or an authors' checkpoint into a bundle."""

import importlib.metadata
import sys
from pathlib import Path

from tqdm import tqdm

from common.errors import InputError
from tools.registry.client import Client
from tools.registry.entry import Entry
from tools.registry.install import install, read_manifest
from tools.registry.settings import bundle_folder, registry_url, trusted_root
from tools.registry.versions import choose, parse, split_name


def download(
    bundle: str,
    version: str = "",
    registry: str = "",
    bundle_dir: str = "",
    root: str = "",
    offline: bool = False,
    upgrade: bool = False,
    force: bool = False,
    weights: str = "",
    sha256: str = "",
) -> None:
    """Install a bundle, or upgrade it; afterwards it needs no network.

    Everything is checked against the registry's signatures before it is unpacked. The version before stays until the
    new one is whole.

    Args:
        bundle: NAME, or NAME==VERSION, which stays at that version until --upgrade.
        version: the same as NAME==VERSION.
        registry: URL or folder; default: REGISTRATION_REGISTRY, then the settings that `registry trust` wrote.
        bundle_dir: where to; default: where runs look for bundles.
        root: the pinned root.json; default: REGISTRATION_ROOT, then the settings.
        offline: use nothing but what was fetched before.
        upgrade: leave a version that was asked for by number.
        force: replace a bundle whose files were changed.
        weights: instead of all this, an authors' checkpoint, a file or a URL: converted and put into the bundle.
        sha256: the SHA-256 that this checkpoint has to have.

    Raises:
        InputError: the bundle cannot be had, or cannot be trusted; nothing has changed then.
    """
    name, wanted = split_name(bundle, version)
    folder = bundle_folder(bundle_dir)
    if weights:
        from tools.registry.checkpoint import install_checkpoint

        with tqdm(unit="B", unit_scale=True, desc=Path(weights).name, disable=None, leave=False) as bar:
            said = install_checkpoint(weights, name, folder, sha256, force, bar.update)
        print(said)
        return
    url = registry_url(registry)
    client = Client(url, trusted_root(root), offline)
    entry = _chosen(client.entries(), name, wanted, folder / name, upgrade)
    if entry.yanked:
        print(f"warning: {name} {entry.version} was taken back by its publisher: {entry.yanked}", file=sys.stderr)
    before = read_manifest(folder / name)
    if before and before.sha256 == entry.sha256 and before.pinned == bool(wanted) and before.untouched(folder / name):
        print(f"{name} {entry.version} is installed and as its publisher signed it: {folder / name}")
        return
    with tqdm(total=entry.size, unit="B", unit_scale=True, desc=entry.path, disable=None, leave=False) as bar:
        archive = client.archive(entry, bar.update)
    target = install(archive, entry, folder, url, pinned=bool(wanted), force=force)
    print(_said(entry, before.version if before else "", target))


def _chosen(entries: list[Entry], name: str, wanted: str, folder: Path, upgrade: bool) -> Entry:
    """The version to install; without a number never an older one than is there, and a pinned one stays."""
    here = read_manifest(folder)
    if here and not wanted:
        if here.pinned and not upgrade:
            wanted = here.version
            print(f"{name} stays at {wanted}, which was asked for by number (--upgrade leaves it)")
        else:
            entry = choose(entries, name, "", _monai())
            if entry.version < parse(here.version):
                raise InputError(
                    f"{folder}: expected a version in the registry as new as the installed {here.version}, got "
                    f"{entry.version}; --version {entry.version} goes back on purpose"
                )
            return entry
    return choose(entries, name, wanted, _monai())


def _monai() -> str:
    try:
        return importlib.metadata.version("monai")
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError("expected MONAI to be installed, got none: pip install monai") from error


def _said(entry: Entry, before: str, target: Path) -> str:
    came = f"{before} replaced by" if before and before != str(entry.version) else "installed"
    licences = entry.about.get("licenses", {})
    lines = [f"{entry.name}: {came} {entry.version}, sha256 {entry.sha256}"]
    if isinstance(licences, dict) and licences:
        lines.append("licences: " + ", ".join(f"{of} {licence}" for of, licence in licences.items()))
    if entry.about.get("weights") == "none":
        lines.append(f"it has no weights: train it, or tools download {entry.name} --weights FILE_OR_URL")
    config = target / "configs" / "inference.json"
    lines.append(f"python -m monai.bundle run --config_file {config} --fixed F --moving M --output_dir O")
    return "\n".join(lines)
