"""``python -m tools <command> ...``: one function per command, imported only when it is called."""

import importlib
import sys

import fire

from common.errors import InputError

# command -> module that holds a function of the same name
COMMANDS: dict[str, str] = {
    "benchmark": "tools.benchmark",
    "convert": "tools.convert",
    "datalist": "tools.datalist",
    "demo": "tools.demo",
    "doctor": "tools.doctor",
    "gpu_checks": "tools.benchmark.gpu",
    "picture": "tools.picture",
}


def main() -> None:
    """Dispatch to the command named first; a user's mistake ends in one line and exit code 1."""
    if len(sys.argv) < 2 or sys.argv[1].replace("-", "_") not in COMMANDS:
        print("usage: python -m tools <command> [options]\ncommands: " + ", ".join(sorted(COMMANDS)))
        sys.exit(0 if len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help") else 2)
    name = sys.argv[1].replace("-", "_")
    command = getattr(importlib.import_module(COMMANDS[name]), name)
    try:
        fire.Fire(command, command=sys.argv[2:], name=f"python -m tools {name}")
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
