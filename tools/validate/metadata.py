"""``metadata.json``: MONAI's specification, the model zoo's rules, and those of the registration bundles."""

import importlib.metadata
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from tools.validate.finding import Contents, Finding

PATH = "configs/metadata.json"
#: Of ``metadata.json``, in our own words: what the zoo's public schema asks, and what a registration needs.
SCHEMA = Path(__file__).resolve().parents[1] / "schemas" / "metadata.json"
#: The Pythons that every pin has to be installable on: the zoo's CI takes one of them, users take all.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_DISTRIBUTIONS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
_TERM = re.compile(r"^(\d+|[np]|\d+\*\*[np])(\s*[*+]\s*(\d+|[np]|\d+\*\*[np]))*$")


def check_metadata(bundle: Contents) -> list[Finding]:
    """Everything that ``metadata.json`` alone can do wrong."""
    metadata, findings = bundle.json(PATH)
    if findings:
        return findings
    if not isinstance(metadata, dict):
        return [Finding(PATH, "", f"expected an object, got {type(metadata).__name__}", "see another bundle's")]
    return [*_schema(metadata), *_versions(metadata, bundle), *_packages(metadata), *_shapes(metadata)]


def _schema(metadata: dict[str, Any]) -> Iterator[Finding]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for error in Draft7Validator(schema).iter_errors(metadata):
        key = "#".join(map(str, error.path))
        yield Finding(PATH, key, f"expected what the schema says, got: {error.message[:300]}", "see tools/schemas")


def _versions(metadata: dict[str, Any], bundle: Contents) -> Iterator[Finding]:
    version, log = metadata.get("version"), metadata.get("changelog")
    if isinstance(log, dict) and isinstance(version, str) and version not in log:
        yield Finding(PATH, "changelog", f"expected an entry for {version}, got none", "say what is new in it")
    if isinstance(version, str) and any(part.isdigit() and int(part) > 9 for part in version.split(".")):
        reason = f"{version}: MONAI orders versions as texts, 0.10 before 0.9"
        yield Finding(PATH, "version", reason, "keep each part below 10", "warning")
    if bundle.version and version != bundle.version:
        reason = f"expected {bundle.version}, which the archive's name says, got {version}"
        yield Finding(PATH, "version", reason, "let tools package name the archive")


def _packages(metadata: dict[str, Any]) -> Iterator[Finding]:
    required = metadata.get("required_packages_version")
    pins = {f"required_packages_version#{k}": v for k, v in required.items()} if isinstance(required, dict) else {}
    pins |= {key: metadata.get(key) for key in _DISTRIBUTIONS}
    for key, value in pins.items():
        try:
            pin = Version(str(value))
        except InvalidVersion:
            yield Finding(PATH, key, f"expected a version, got {value!r}", "write the version that was tested")
            continue
        if pin.local:
            reason = f"{value}: the zoo installs exactly this, and no index has +{pin.local}"
            yield Finding(PATH, key, reason, "leave out what stands behind the +")
        refusing = [text for text in PYTHONS if text not in _takes(_DISTRIBUTIONS.get(key, key.split("#")[-1]), pin)]
        if refusing:
            reason = (
                f"expected a version for Python {', '.join(PYTHONS)}, got {value}, which {refusing[0]} cannot install"
            )
            yield Finding(PATH, key, reason, "take the newest version that all of them can install")


def _takes(name: str, pin: Version) -> SpecifierSet:
    """The Pythons that a version of a package takes, as far as it is installed here; else any."""
    try:
        installed = importlib.metadata.metadata(name)
        same = Version(installed["Version"]).public == pin.public
        return SpecifierSet(installed["Requires-Python"] if same and "Requires-Python" in installed else "")
    except (importlib.metadata.PackageNotFoundError, ValueError):  # not here, or no name of a package
        return SpecifierSet()


def _shapes(metadata: dict[str, Any]) -> Iterator[Finding]:
    formats = metadata.get("network_data_format")
    for kind in ("inputs", "outputs"):
        tensors = formats.get(kind) if isinstance(formats, dict) else None
        for name, tensor in tensors.items() if isinstance(tensors, dict) else ():
            shape = tensor.get("spatial_shape") if isinstance(tensor, dict) else None
            for item in shape if isinstance(shape, list) else ():
                if isinstance(item, str) and item != "*" and not _TERM.match(item):
                    key = f"network_data_format#{kind}#{name}#spatial_shape"
                    yield Finding(PATH, key, f"expected numbers, n, p, * and +, got {item!r}", "write such as 16*n")


def smallest_shape(shape: list[Any]) -> tuple[int, ...] | None:
    """A ``spatial_shape`` at n = p = 1, as MONAI's verify_net_in_out takes it; None where it is none.

    >>> smallest_shape(["16*n+16", "2**p*n", 8])
    (32, 2, 8)
    """
    sizes = []
    for item in shape:
        text = str(item).replace(" ", "")
        if not _TERM.match(text):
            return None
        total = 0
        for summand in text.split("+"):
            product = 1
            for factor in re.split(r"(?<!\*)\*(?!\*)", summand):
                product *= int(factor.split("**")[0]) if factor[0].isdigit() else 1
            total += product
        sizes.append(total)
    return tuple(sizes)
