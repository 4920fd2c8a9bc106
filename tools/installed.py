"""``python -m tools list``, ``verify`` and ``remove``: the installed bundles; none of them needs a network."""

from common.errors import InputError
from tools.registry import install
from tools.registry.client import Client
from tools.registry.settings import bundle_folder, registry_url, trusted_root


def list_bundles(bundle_dir: str = "", available: bool = False, registry: str = "", root: str = "") -> None:
    """List installed bundles, and with --available what the registry has.

    Args:
        bundle_dir: where they are; default: where runs look for bundles.
        available: ask the registry, too.
        registry: see `tools download`.
        root: see `tools download`.

    Raises:
        InputError: the registry cannot be reached or trusted.
    """
    folder = bundle_folder(bundle_dir)
    here = install.installed_bundles(folder)
    print(f"installed in {folder}:" + ("" if here else " nothing"))
    for name, record in here.items():
        print(f"  {name} {record.version}{' (pinned)' if record.pinned else ''}")
    if available:
        url = registry_url(registry)
        print(f"in the registry {url}:")
        for entry in sorted(Client(url, trusted_root(root)).entries(), key=lambda entry: (entry.name, entry.version)):
            taken = f", taken back: {entry.yanked}" if entry.yanked else ""
            none = ", without weights" if entry.about.get("weights") == "none" else ""
            print(f"  {entry.name} {entry.version}, {entry.size / 1e6:.1f} MB{none}{taken}")


def verify(bundle: str = "", bundle_dir: str = "") -> None:
    """Compare every file of installed bundles with the SHA-256 that it was installed with.

    Args:
        bundle: its name; default: all of them.
        bundle_dir: where they are.

    Raises:
        InputError: one is not installed, or differs.
    """
    folder = bundle_folder(bundle_dir)
    here = install.installed_bundles(folder)
    failed = []
    for name in [bundle] if bundle else here:
        if name not in here:
            raise InputError(f"{folder / name}: expected an installed bundle, got none; installed are: {_names(here)}")
        changes = here[name].changes(folder / name)
        print(
            f"{name} {here[name].version}: " + ("whole, as installed" if not changes else f"{len(changes)} differences")
        )
        for change in changes:
            print(f"  {change}")
        failed += [name] if changes else []
    if failed:
        raise InputError(f"{', '.join(failed)}: expected the bundles as they were installed, got the differences above")


def remove(bundle: str, bundle_dir: str = "", force: bool = False) -> None:
    """Remove an installed bundle.

    Args:
        bundle: its name.
        bundle_dir: where it is.
        force: also if its files were changed.

    Raises:
        InputError: it is not there, was not installed by this command, or was changed.
    """
    print(f"removed {install.remove(bundle, bundle_folder(bundle_dir), force)}")


def _names(bundles: dict[str, install.Installed]) -> str:
    return ", ".join(bundles) or "none"
