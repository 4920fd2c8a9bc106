"""``python -m tools <command> ...``: one function a command, imported only when it runs."""

import importlib
import os
import sys
from typing import Any, TypeAlias

from common import __version__
from common.errors import InputError, find_input_error, nearest
from common.streams import LastingStream
from tools.arguments import UsageError, literal_or_text, match_words, readers
from tools.command import Command, program, read_command, wrapped

Commands: TypeAlias = dict[str, Any]

# command -> "module:function"; a group of commands is a dictionary of them. Options, types and help are those of the
# function (tools/command.py).
COMMANDS: Commands = {
    "apply": "tools.apply:apply",
    "atlas": {"add": "tools.atlas:add", "list": "tools.atlas:list_atlases"},
    "bids": "tools.bids.command:bids",
    "benchmark": {
        "alignment": "tools.benchmark.alignment:benchmark_alignment",
        "cohort": "tools.benchmark.cohort:benchmark_cohort",
        "figures": "tools.benchmark.paper_figures:benchmark_figures",
        "flags": "tools.benchmark.flags:benchmark_flags",
        "network": "tools.benchmark.network:benchmark_network",
        "registration": "tools.benchmark.registration:benchmark_registration",
        "scan": "tools.benchmark.scan:benchmark_scan",
    },
    "cohort": "tools.cohort.command:cohort",
    "convert": "tools.convert:convert",
    "datalist": "tools.datalist:datalist",
    "demo": "tools.demo:demo",
    "doctor": "tools.doctor:doctor",
    "download": "tools.download:download",
    "gpu_checks": "tools.benchmark.gpu:gpu_checks",
    "label": "tools.label:label",
    "kit": "tools.kit:kit",
    "list": "tools.installed:list_bundles",
    "package": "tools.package:package",
    "papers": "tools.papers.command:papers",
    "picture": "tools.picture:picture",
    "registry": {
        "add": "tools.registry.publish:add",
        "export": "tools.registry.export:export",
        "init": "tools.registry.publish:init",
        "mirror": "tools.registry.mirror:mirror",
        "rotate": "tools.registry.publish:rotate",
        "sign": "tools.registry.publish:sign",
        "trust": "tools.registry.mirror:trust",
        "yank": "tools.registry.publish:yank",
    },
    "report": "tools.report:report",
    "register": "tools.register:register",
    "remove": "tools.installed:remove",
    "teach": "tools.teach:teach",
    "template": "tools.template:template",
    "train_anatomy": "tools.train_anatomy:train_anatomy",
    "train_all": "tools.train_all:train_all",
    "validate": "tools.validate.command:validate",
    "verify": "tools.installed:verify",
}
_HELP = ("-h", "--help")


def main() -> int:
    """Run what ``sys.argv`` asks for.

    Returns:
        Exit code: 0, 1 for a user's mistake, 2 for a wrong call, 130 after Ctrl-C. A mistake ends in one line.
    """
    # Read when PyTorch is loaded: threads that wait sleep. Spinning took an eighth of a registration's CPU time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    output, errors = (LastingStream(stream) for stream in (sys.stdout, sys.stderr))
    sys.stdout, sys.stderr = output, errors  # type: ignore[assignment]
    try:
        code = _run(sys.argv[1:])
        output.flush()
        if output.failure:
            raise InputError(f"not all output could be written: {output.failure}")
        return code
    except KeyboardInterrupt:
        print("interrupted", file=errors)
        return 130
    except Exception as error:
        cause = find_input_error(error)
        if cause is None:
            raise
        output.flush()
        print(f"error: {cause}", file=errors)
        return 2 if isinstance(cause, UsageError) else 1


def _run(words: list[str]) -> int:
    name, found, rest = find(words)
    asks_help = any(word in _HELP for word in rest[: rest.index("--") if "--" in rest else None])
    if rest == ["--version"]:
        print(f"registration-bundles {__version__}")
        return 0
    if isinstance(found, dict):
        if rest and not asks_help:
            known = nearest(rest[0].replace("-", "_"), found, prefix="") or f": expected one of {', '.join(found)}"
            raise UsageError(f"unknown command {' '.join([*name.split(), rest[0]])}{known}")
        print(listing(name, found), file=sys.stdout if asks_help else sys.stderr)
        return 0 if asks_help else 2
    command = read_command(name, found)
    if asks_help:
        print(command.help())
    else:
        call(command, rest)
    return 0


def find(words: list[str]) -> tuple[str, str | Commands, list[str]]:
    """Follow the words into ``COMMANDS``: the name so far, the target or group there, and the words that are left."""
    found: str | Commands = COMMANDS
    names: list[str] = []
    for word in words:
        name = word.replace("-", "_")
        if isinstance(found, str) or name not in found:
            break
        found = found[name]
        names.append(name)
    return " ".join(names), found, words[len(names) :]


def call(command: Command, words: list[str]) -> None:
    """Call a command's function by fire, with every word at its option and read by the option's type."""
    given = match_words(command, words)  # a wrong call is known before anything heavy is imported
    function = getattr(importlib.import_module(command.module), command.function)
    import fire

    fire.decorators.SetParseFn(literal_or_text)(function)  # for what a function takes as **keywords
    fire.decorators.SetParseFns(**readers(command))(function)
    fire.Fire(function, [f"--{name}={text}" for name, text in given.items()], f"{program()} {command.name}")


def listing(name: str, group: Commands) -> str:
    """Every command of a group with one line of what it does."""
    targets = dict(_targets(name, group))
    width = max(map(len, targets))
    lines = [
        wrapped(read_command(full, target).summary, f"  {full:<{width}}  ", " " * (width + 4))
        for full, target in targets.items()
    ]
    usage = f"usage: {program()}{' ' + name if name else ''} COMMAND [options]"
    return "\n".join([usage, "", *lines, "", f"{program()} COMMAND --help shows a command's options."])


def _targets(name: str, group: Commands) -> list[tuple[str, str]]:
    found = []
    for key, value in sorted(group.items()):
        full = f"{name} {key}".strip()
        found += [(full, value)] if isinstance(value, str) else _targets(full, value)
    return found


if __name__ == "__main__":
    sys.exit(main())
