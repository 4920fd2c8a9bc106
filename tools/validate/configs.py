"""The configuration files: every ``_target_`` and ``$`` expression on the allow-list, ``common`` in ``run`` alone."""

import configparser
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tools.validate.expressions import expression_problems, target_problem
from tools.validate.finding import Contents, Finding

_CODE = "write it without that; whoever runs the bundle runs this"
_KINDS = ("", "StreamHandler", "logging.StreamHandler", "logging.Formatter")
_ARGS = re.compile(r"^\(\s*(sys\.std(out|err)\s*,?\s*)?\)$")


def check_configs(bundle: Contents) -> list[Finding]:
    """Everything that the configurations can do wrong, without evaluating any of it."""
    findings: list[Finding] = []
    for path in sorted(bundle.files):
        if path == "configs/metadata.json" or not path.startswith("configs/"):
            continue
        if path.endswith(".conf"):
            findings += _logging(path, bundle.files[path])
            continue
        content, problems = _read(bundle, path)
        findings += problems or _config(path, content)
    return findings


def _read(bundle: Contents, path: str) -> tuple[Any, list[Finding]]:
    if path.endswith(".json"):
        return bundle.json(path)
    try:
        return yaml.safe_load(bundle.files[path]), []
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, [Finding(path, "", f"expected YAML without objects, got: {str(error)[:200]}", "correct the file")]


def _config(path: str, content: Any) -> Iterator[Finding]:
    if not isinstance(content, dict):
        yield Finding(path, "", f"expected an object, got {type(content).__name__}", "see another bundle's")
        return
    if path.endswith("inference.json"):
        for key in ("network_def", "run", "bundle_root"):
            if key not in content:
                yield Finding(path, key, "expected this key, got none", "MONAI's commands ask for it")
    yield from _walk(path, "", content)


def _walk(path: str, key: str, value: Any) -> Iterator[Finding]:
    if isinstance(value, dict):
        if "_target_" in value and (problem := target_problem(value["_target_"])):
            yield Finding(path, f"{key}#_target_".strip("#"), problem, _CODE)
        elif _too_early(key) and str(value.get("_target_", "")).startswith("common"):
            yield _early(path, key)
        if value.get("_mode_", "default") not in ("default", "callable"):
            yield Finding(
                path, f"{key}#_mode_".strip("#"), f"expected default or callable, got {value['_mode_']}", _CODE
            )
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from _walk(path, f"{key}#{name}".strip("#"), inner)
    if isinstance(value, str):
        yield from _text(path, key, value)


def _text(path: str, key: str, value: str) -> Iterator[Finding]:
    if value.startswith("$"):
        if re.search(r"\bimport\s+common\b", value) or (_too_early(key) and re.search(r"\bcommon\b", value)):
            yield _early(path, key)
        else:
            for problem in expression_problems(value):
                yield Finding(path, key, problem, _CODE)
    elif value.startswith("%") and ".." in value.split("::")[0]:
        yield Finding(path, key, f"expected a macro of this bundle, got {value}", "keep to the bundle's own files")


def _too_early(key: str) -> bool:
    return key.lstrip("+").split("#")[0] in ("imports", "initialize")


def _early(path: str, key: str) -> Finding:
    reason = "expected common in run alone: the bundle's folder is not importable before, another common would be taken"
    return Finding(path, key, reason, "name it in run, as the other bundles do")


def _logging(path: str, content: bytes) -> Iterator[Finding]:
    """logging.conf: Python evaluates the args of its handlers."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        yield Finding(path, "", f"expected a logging configuration, got: {error}", "copy another bundle's")
        return
    for section in parser.sections():
        kind, arguments = parser.get(section, "class", fallback=""), parser.get(section, "args", fallback="()")
        if kind not in ("", "StreamHandler", "logging.StreamHandler", "logging.Formatter") or not _ARGS.match(
            arguments
        ):
            reason = f"expected handlers that write to sys.stdout or sys.stderr, got {kind}{arguments}"
            yield Finding(path, section, reason, "Python evaluates these: copy another bundle's")
