"""``registry export``: a registry's newest bundles in the folders that other places want."""

from pathlib import Path

from common.errors import InputError
from tools.registry.archive import unpack
from tools.registry.entry import Entry
from tools.registry.files import file_sha256, write_bytes
from tools.registry.repository import Repository
from tools.registry.settings import key_folder

#: Hugging Face's identifiers of licences, by SPDX's.
_LICENCES = {"Apache-2.0": "apache-2.0", "MIT": "mit", "BSD-3-Clause": "bsd-3-clause", "CC-BY-4.0": "cc-by-4.0"}


def export(registry: Path, output_dir: Path, layout: str = "huggingface") -> None:
    """Write the newest version of each bundle as a folder that can be uploaded as a Hugging Face repository.

    Each folder holds the bundle's files, and its card as ``README.md`` on top with the lines that the hub reads. Push
    it with the version as a tag: that is how MONAI's own download asks for it.

    Args:
        registry: folder of the registry.
        output_dir: where a folder for each bundle goes; they must not be there.
        layout: huggingface.

    Raises:
        InputError: another layout, a folder that is there, or an archive that is not what was signed.
    """
    if layout != "huggingface":
        raise InputError(f"registry export: expected --layout huggingface, got {layout}")
    path = registry.expanduser()
    newest: dict[str, Entry] = {}
    for file in Repository(path, key_folder()).files.values():
        entry = Entry.read(file.path, file.hashes["sha256"], file.length, file.custom)
        if entry and not entry.yanked and (entry.name not in newest or newest[entry.name].version < entry.version):
            newest[entry.name] = entry
    for entry in newest.values():
        folder = output_dir.expanduser() / entry.name
        _export(path / "targets" / entry.path, entry, folder)
        print(f"{folder}: upload it, and tag the commit {entry.version}")


def _export(archive: Path, entry: Entry, folder: Path) -> None:
    if folder.exists():
        raise InputError(f"{folder}: expected nothing there, got a folder or a file")
    if not archive.is_file() or file_sha256(archive) != entry.sha256:
        raise InputError(f"{archive}: expected the archive that was signed, got none or another")
    folder.mkdir(parents=True)
    unpack(archive, folder, entry.name)
    card = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    write_bytes(folder / "README.md", (_front_matter(entry) + card).encode())


def _front_matter(entry: Entry) -> str:
    licence = str(entry.about.get("licenses", {}).get("weights", ""))
    lines = [f"license: {_LICENCES.get(licence, 'other')}", "library_name: monai", "tags:", "- monai", "- medical"]
    return "---\n" + "\n".join([*lines, "- image-registration"]) + "\n---\n"
