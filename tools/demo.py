"""``python -m tools demo``: register the sample pair with MambaMorph through MONAI's own command."""

import subprocess
import sys
from pathlib import Path

from common.bundle import find_bundle
from common.errors import InputError
from common.sample import sample_pair


def demo(output_dir: str = "demo_output") -> None:
    """Register the sample pair; the command prints how good it is and what it wrote.

    Args:
        output_dir: folder for the results, made anew if it is there.

    Raises:
        InputError: the registration failed; its own message stands above.
    """
    target = Path(output_dir).resolve()
    command = [sys.executable, "-m", "monai.bundle", "run"]
    options = {
        "config_file": find_bundle("mambamorph") / "configs" / "inference.json",
        **sample_pair(),
        "output_dir": target,
    }
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    print("$ " + " ".join(["python", *command[1:]]), flush=True)
    if subprocess.run(command, check=False).returncode != 0:
        raise InputError("the demo's registration failed, see the lines above")
