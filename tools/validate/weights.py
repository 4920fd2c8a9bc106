"""A weight file by its bytes: a plain state dict that ``torch.save`` wrote, nothing else; it is not loaded here."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO

from tools.registry.archive import UNREADABLE
from tools.validate.finding import Contents, Finding

PATH = "models/model.pt"
#: What a state dict's pickle calls: tensors, their storages, the dictionary around them. A pickle can call anything.
GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch.storage UntypedStorage",
        *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
        *(f"torch {kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte", "Bool")),
        *(f"torch {kind}" for kind in ("float8_e4m3fn", "float8_e5m2")),
    }
)
#: Opcodes that find or make objects by other ways than GLOBAL and REDUCE; torch.save's protocol 2 has no need of them.
_OPCODES = frozenset({"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID"})
_ENTRY = re.compile(
    r"^[^/]+/(data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d+)$"
)
_AGAIN = "save it again: torch.save(network.state_dict(), path)"


def check_weight_file(bundle: Contents) -> list[Finding]:
    """Everything that the bytes of ``models/model.pt`` can do wrong."""
    if PATH not in bundle.files:
        return []
    try:
        with zipfile.ZipFile(BytesIO(bundle.files[PATH])) as archive:
            findings = list(_entries(archive))
            return findings or list(_pickle(archive))
    except UNREADABLE as error:
        return [Finding(PATH, "", f"expected a file that torch.save wrote, got: {error}", _AGAIN)]


def _entries(archive: zipfile.ZipFile) -> Iterator[Finding]:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if not any(name.endswith("/data.pkl") for name in names):
        yield Finding(PATH, "", "expected data.pkl in it, got none", _AGAIN)
    if len(names) != len(set(names)) or len({name.split("/")[0] for name in names}) > 1:
        yield Finding(PATH, "", "expected each entry once and in one folder, got two", _AGAIN)
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            reason = f"expected stored entries, got a compressed one of {entry.file_size} bytes"
            yield Finding(PATH, entry.filename, reason, "torch.save never compresses; the file may grow without bounds")
        if not _ENTRY.match(entry.filename):
            kind = "TorchScript code" if "/code/" in entry.filename else "another"
            yield Finding(PATH, entry.filename, f"expected the entries of a state dict, got {kind}", _AGAIN)


def _pickle(archive: zipfile.ZipFile) -> Iterator[Finding]:
    name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
    content = archive.read(name)
    remedy = "do not load this file: a pickle runs whatever it calls"
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "GLOBAL" and argument not in GLOBALS:
                yield Finding(PATH, name, f"expected tensors, got a call of {argument}", remedy)
            elif opcode.name in _OPCODES:
                yield Finding(PATH, name, f"expected a state dict, got the pickle opcode {opcode.name}", remedy)
    except Exception as error:  # pickletools raises many kinds on what is no pickle
        yield Finding(PATH, name, f"expected a pickle, got: {error}", _AGAIN)
        return
    yield from _second_opinion(name, content)


def _second_opinion(name: str, content: bytes) -> Iterator[Finding]:
    """What picklescan says, where it is installed."""
    try:
        from picklescan.scanner import scan_pickle_bytes
    except ImportError:
        return
    result = scan_pickle_bytes(BytesIO(content), name)
    if result.infected_files or result.issues_count:
        dangers = ", ".join(f"{g.module}.{g.name}" for g in result.globals if g.safety.value == "dangerous")
        yield Finding(PATH, name, f"picklescan calls it dangerous: {dangers}", "do not load this file")
