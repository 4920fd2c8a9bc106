"""Ways to break a bundle, one defect each: what to do to the tiny bundle's folder."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any


def edit(path: str, **changes: Any):
    """Replace keys of a JSON file; ``a#b`` goes one level down, None as a value removes the key."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / path).read_text())
        for key, value in changes.items():
            place, *inner = content, *key.split("#")
            for name in inner[:-1]:
                place = place[name]
            if value is None:
                del place[inner[-1]]
            else:
                place[inner[-1]] = value
        (folder / path).write_text(json.dumps(content))

    return apply


def meta(**changes: Any):
    return edit("configs/metadata.json", **changes)


def config(**changes: Any):
    return edit("configs/inference.json", **changes)


def write(path: str, content: bytes | str):
    def apply(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return apply


def gone(path: str):
    return lambda folder: (folder / path).unlink()


def replaced(path: str, old: str, new: str):
    return lambda folder: (folder / path).write_text((folder / path).read_text().replace(old, new))


class Runs:
    """Unpickling this runs a command."""

    def __reduce__(self):
        return os.system, ("touch /tmp/it-ran",)


class RunsString:
    """Unpickling this runs text through NumPy's test tools."""

    def __reduce__(self):
        import numpy.testing._private.utils as utils

        return utils.runstring, ("open('/tmp/it-ran', 'w')", {})


def pickled(thing: Any, protocol: int = 2):
    """A weight file whose pickle holds a thing."""
    return rezipped(lambda files: {**files, "m/data.pkl": pickle.dumps(thing, protocol=protocol)})


def rezipped(change, compression: int = zipfile.ZIP_STORED):
    """The weight file's entries, changed and zipped again."""

    def apply(folder: Path) -> None:
        path = folder / "models" / "model.pt"
        with zipfile.ZipFile(path) as archive:
            files = {"m/" + name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, content in change(files).items():
                archive.writestr(name, content)
        path.write_bytes(buffer.getvalue())

    return apply


def state(change):
    """The state dict, changed and saved again."""

    def apply(folder: Path) -> None:
        import torch

        path = folder / "models" / "model.pt"
        torch.save(change(torch.load(path, weights_only=True)), path)

    return apply
