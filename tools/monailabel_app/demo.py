"""``make label-demo``: start the server on loopback with the sample study, ask it as Slicer does, draw the answer."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from monailabel.client import MONAILabelClient

from common.errors import InputError
from common.sample import sample_pair
from tools.monailabel_app.picture import draw_labels

#: What Slicer's module sends with every request.
SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8"}


def main(output: Path) -> None:
    """Segment the sample's oblique CT by the template's tissues, and register the two images.

    Args:
        output: folder of the pictures and files, made anew.

    Raises:
        InputError: the server did not start; its own message stands above.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        for name, key in (("ct", "moving"), ("t1", "fixed")):
            shutil.copy(sample_pair()[key], studies / f"{name}.nii.gz")
        command = [sys.executable, "-m", "tools", "label", "--studies", str(studies), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            _ask(_address(server), studies, output)
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen) -> str:
    assert server.stdout is not None
    line = server.stdout.readline().strip()
    if " at http" not in line:
        raise InputError("the server did not start, see the lines above")
    print(line)
    return line.rpartition(" ")[2]


def _ask(address: str, studies: Path, output: Path) -> None:
    client = MONAILabelClient(address, tmpdir=str(output))
    print(f"models: {', '.join(client.info()['models'])}")
    began = time.monotonic()
    labels, told = client.infer("atlas_segmentation", "ct", dict(SLICER))
    print(f"labels of ct: {told['label_names']}, {time.monotonic() - began:.0f} s; {labels}")
    picture = draw_labels(studies / "ct.nii.gz", labels, output / "labels_over_ct.png", "the template's tissues on ct")
    print(f"written: {picture}")
    transform, told = client.infer("registration", "t1", {"moving": "ct", "result": "transform", "refinement": "off"})
    print(f"transform from t1 to ct, similarity {told['similarity']['after']}: {transform}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo_output/label"))
