"""``python -m tools validate``: bundles against MONAI's specification, the model zoo's rules and those of safety."""

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path

import common
from common.errors import InputError
from tools.validate.configs import check_configs
from tools.validate.files import check_files
from tools.validate.finding import Contents, Finding, read_bundle
from tools.validate.metadata import check_metadata
from tools.validate.network import check_network
from tools.validate.weights import check_weight_file
from tools.validate.zoo import check_names, check_zoo


def validate(paths: Sequence[str], json: bool = False, zoo: bool = False) -> None:
    """Judge bundles, from anywhere: their lists, texts and weights are read, none of their code runs.

    The network of a bundle is built from this project's own library, and only when everything else is in order.

    Args:
        paths: folders or archives.
        json: print JSON instead of lines.
        zoo: also do what the model zoo's own CI does in full mode. It runs the bundle's code: for your own bundles.

    Raises:
        InputError: a bundle has errors, or is not there.
    """
    results = {text: check(Path(text).expanduser(), zoo) for text in paths}
    for text, finding in check_names(paths).items() if zoo else ():
        results[text].append(finding)
    if json:
        print(dumps({text: [asdict(f) for f in findings] for text, findings in results.items()}, indent=1))
    else:
        for text, findings in results.items():
            print(f"{text}: {_summary(findings)}")
            for finding in findings:
                print(f"  {finding}")
    failed = [text for text, findings in results.items() if errors_of(findings)]
    if failed:
        raise InputError(f"{len(failed)} of {len(results)} bundles have errors: {', '.join(failed)}")


def check(path: Path, zoo: bool = False) -> list[Finding]:
    """Every finding of one bundle; later checks run only where the earlier ones found no error.

    Args:
        path: folder or archive.
        zoo: see ``validate``.

    Raises:
        InputError: there is nothing at ``path``.
    """
    bundle, findings = read_and_check(path)
    if not errors_of(findings):
        findings += check_network(bundle)
    if zoo and not errors_of(findings):
        findings += check_zoo(path, bundle)
    return findings


def read_and_check(path: Path) -> tuple[Contents, list[Finding]]:
    """Read a bundle, and find what can be found without building its network: a second or two.

    Args:
        path: folder or archive.

    Raises:
        InputError: there is nothing at ``path``.
    """
    if not path.exists():
        raise InputError(f"{path}: expected a bundle's folder or archive, got nothing there")
    bundle, findings = read_bundle(path)
    if not findings:
        for check_part in (check_files, check_metadata, check_configs, check_weight_file, check_library):
            findings += check_part(bundle)
    return bundle, findings


def check_library(bundle: Contents) -> list[Finding]:
    """Whether the ``common`` that a bundle carries is this project's; another one is said, not judged."""
    root = Path(common.__file__).resolve().parents[1]
    carried = {path: content for path, content in bundle.files.items() if path.startswith("common/")}
    if not carried:
        return []
    other = [path for path, content in carried.items() if not _same(root / path, content)]
    if not other:
        return []
    reason = f"{len(other)} of {len(carried)} files of it are not this project's, such as {other[0]}"
    return [Finding("common", "", reason, "whoever runs the bundle runs them: read them first", "warning")]


def _same(path: Path, content: bytes) -> bool:
    """Whether an archive holds this file: as it is, or as text whose lines ended otherwise in the checkout."""
    return path.is_file() and content in ((own := path.read_bytes()), own.replace(b"\r\n", b"\n"))


def errors_of(findings: Sequence[Finding]) -> list[Finding]:
    """Those that are no warnings."""
    return [finding for finding in findings if finding.level == "error"]


def _summary(findings: Sequence[Finding]) -> str:
    errors = len(errors_of(findings))
    return f"{errors} errors, {len(findings) - errors} warnings" if findings else "nothing to complain about"
