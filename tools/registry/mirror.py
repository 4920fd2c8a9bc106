"""The user's commands of ``tools registry``: ``trust`` pins a root, ``mirror`` makes a verified copy of a registry."""

from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import TargetFile

from common.errors import InputError
from common.writing import save_json
from tools.registry.client import Client, find_root
from tools.registry.files import copy_file, write_bytes
from tools.registry.publish import write_tables
from tools.registry.settings import config_file, read_config, registry_url, settings_folder, trusted_root


def trust(registry: str, fingerprint: str) -> None:
    """Pin a registry's root: from now on what its keys have signed is believed, and nothing else.

    Args:
        registry: URL or folder.
        fingerprint: what `registry init` or `rotate` printed; get it from the publisher, not from the registry.

    Raises:
        InputError: the registry has no root with this fingerprint.
    """
    url = registry_url(registry)
    content = find_root(url, fingerprint)
    write_bytes(settings_folder() / "root.json", content)
    save_json({**read_config(), "registry": url, "root": "root.json"}, config_file())
    print(f"trusting {url}; written to {config_file()}")


def mirror(registry: str, folder: Path, root: str = "") -> None:
    """Copy a registry into a folder, every file verified: for a USB stick, or a server of one's own.

    Args:
        registry: URL or folder to copy from.
        folder: where to; an older copy there is brought up to date.
        root: the pinned root.json; default as for `tools download`.

    Raises:
        InputError: the registry cannot be reached or trusted, or the folder cannot be written.
    """
    url, target = registry_url(registry), folder.expanduser()
    client = Client(url, trusted_root(root))
    metadata = client.metadata()
    for entry in client.entries():
        copy_file(client.archive(entry), target / "targets" / entry.path)
    files = client.targets().targets
    for path, signed in files.items():
        if not path.endswith(".zip"):
            write_bytes(target / "targets" / path, _small(client, path, signed))
    for name, content in metadata.items():
        write_bytes(target / "metadata" / name, content)
    write_tables(target)
    print(f"{len(files)} files of {url} are in {target}, verified")


def _small(client: Client, path: str, signed: TargetFile) -> bytes:
    address = f"{client.url}/targets/{path}"
    try:
        content = client.fetcher.download_bytes(address, signed.length)
        signed.verify_length_and_hashes(content)
    except (DownloadError, RepositoryError) as error:
        raise InputError(f"{address}: expected the file that was signed, got: {error}") from error
    return content
