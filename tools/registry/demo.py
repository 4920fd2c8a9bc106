"""``make registry-demo``: package, sign, serve on loopback, download with both clients, run without this project."""

import os
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from common.errors import InputError

#: Runs MONAI's command with installed packages only: without .pth files this project is nowhere to be found.
_ALONE = """
import importlib.util, runpy, sys
sys.path.append(sys.argv.pop(1))
assert importlib.util.find_spec("common") is None, "this project can be imported here"
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


def main(names: list[str]) -> None:
    """Show the whole way of some bundles, in a folder of its own.

    Args:
        names: of bundles; empty for all.

    Raises:
        InputError: a step failed; its own message stands above.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for variable in ("SETTINGS", "CACHE", "KEYS", "BUNDLES"):
            os.environ[f"REGISTRATION_{variable}"] = str(home / variable.lower())
        for words in ([name] for name in names) if names else (["--all"],):
            _tools("package", *words, "--output_dir", home / "dist")
        _tools("registry", "init", home / "registry")
        _tools("registry", "add", home / "registry", home / "dist")
        handler = partial(_Quiet, directory=str(home / "registry"))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _download(home, f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
        for bundle in sorted((home / "bundles").glob("[!.]*")):
            _run(bundle, home / "results" / bundle.name)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Say nothing of requests."""


def _download(home: Path, url: str) -> None:
    from tools.registry.publish import fingerprint

    _tools("registry", "trust", url, "--fingerprint", fingerprint(home / "registry"))
    for archive in sorted((home / "dist").glob("*.zip")):
        name = archive.stem.rpartition("_v")[0]
        _tools("download", name)
        options = ("--name", name, "--url", f"{url}/targets/{archive.name}", "--bundle_dir", home / "stock")
        _call([sys.executable, "-m", "monai.bundle", "download", *options], home)
        _call(["diff", "-rq", "--exclude=.installed.json", home / "stock" / name, home / "bundles" / name], home)
    _tools("verify")


def _run(bundle: Path, output: Path) -> None:
    packages = Path(sys.modules["filelock"].__file__ or "").parents[1]
    config = bundle / "configs" / "inference.json"
    options = ("run", "--config_file", config, "--passes", "[2]", "--output_dir", output)
    _call([sys.executable, "-S", "-c", _ALONE, packages, *options], Path(output.anchor))


def _tools(*words: object) -> None:
    _call([sys.executable, "-m", "tools", *words], Path(__file__).resolve().parents[2])


def _call(command: list[object], folder: Path) -> None:
    shown = [str(word) for word in command if word is not _ALONE]
    print("$", *["python" if word == sys.executable else word for word in shown], flush=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if subprocess.run([str(word) for word in command], cwd=folder, env=environment, check=False).returncode:
        raise InputError("the step above failed")


if __name__ == "__main__":
    main(sys.argv[1:])
