"""Image files are read and written in one room, and reading one brings no framework along."""

import ast

import pytest

from tests.house import modules
from tests.test_house import loaded_by

#: What else may touch such files: the script that made the sample pair, whose bytes are recorded.
APART = {"tools.sample.make_sample"}


def test_no_other_module_opens_or_writes_an_image():
    calls = {"nib.load", "nibabel.load", "nib.save", "nibabel.save", "itk.imread", "itk.imwrite"}
    found = {
        module.name
        for module in (modules("common") | modules("tools")).values()
        if any(isinstance(node, ast.Call) and ast.unparse(node.func) in calls for node in ast.walk(module.tree))
    }
    # The benchmark's peers read with their own tools.
    own = {name for name in found if name.startswith(("common.images.", "tools.benchmark.peers."))}
    assert found - own == APART


@pytest.mark.parametrize("program", ["import common.images", "import common.data.points, common.data.datalist"])
def test_reading_an_image_needs_neither_monai_nor_itk(program):
    assert not {"monai", "itk", "ignite", "matplotlib", "pandas", "numba"} & loaded_by(program)


def test_the_pipeline_brings_nothing_along_that_monai_does_not():
    import_all = "import monai.data, monai.engines, monai.inferers, monai.transforms, tqdm, ignite.engine"
    more = loaded_by(f"{import_all}, common.registration") - loaded_by(import_all)
    assert {name.partition(".")[0] for name in more} == {"common"}
