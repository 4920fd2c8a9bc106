"""What the model zoo's full mode runs of MONAI, on a bundle in a process without this project.

A script, not a module of the library: ``python -S zoo_steps.py BUNDLE SCHEMA PACKAGES`` prints what failed as its last
line, a JSON object of step to reason. The bundle's code runs.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(bundle: str, schema: str, packages: str) -> None:
    """Run the steps, one after the other; each that fails is named with the last cause.

    Args:
        bundle: its folder, the library ``common`` in it.
        schema: file with the schema of ``metadata.json``.
        packages: folder of the installed packages.
    """
    warnings.simplefilter("ignore")
    # In front the bundle, as the zoo does it, in place of this script's folder.
    sys.path[:] = [bundle, *sys.path[1:], packages]
    failures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, step in _steps(bundle, schema, folder).items():
            try:
                step()
            except Exception as error:
                failures[name] = _reason(error)
    print(json.dumps(failures))


def _steps(bundle: str, schema: str, folder: str) -> dict[str, Callable[[], None]]:
    from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

    config: dict[str, Any] = {
        "net_id": "network_def",
        "meta_file": f"{bundle}/configs/metadata.json",
        "config_file": f"{bundle}/configs/inference.json",
        "bundle_root": bundle,
    }
    weights, exported = f"{bundle}/models/model.pt", f"{folder}/model.ts"
    return {
        "verify_metadata": lambda: verify_metadata(meta_file=config["meta_file"], filepath=schema),
        "verify_net_in_out": lambda: verify_net_in_out(**config),
        "ckpt_export": lambda: ckpt_export(filepath=exported, ckpt_file=weights, **config),
    }


def _reason(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


if __name__ == "__main__":
    main(*(str(Path(word).resolve()) for word in sys.argv[1:4]))
