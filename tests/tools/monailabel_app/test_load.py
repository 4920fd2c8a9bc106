"""Many requests at once, faults among them: every one gets its status, the server lives, and nothing is left."""

from pathlib import Path

import pytest

from tests.tools.monailabel_app.serving import files_left, make_studies, serving

pytestmark = pytest.mark.label
pytest.importorskip("monailabel", reason="MONAI Label is not installed: make label-tests")


def test_a_hundred_mixed_requests(tmp_path: Path):
    from tests.tools.monailabel_app.load import run

    make_studies(tmp_path)
    with serving(tmp_path) as server:
        lines, wrong = run(server, tmp_path, 100)
        assert wrong == [] and len(lines) > 10
        assert files_left(server) == []
