"""Shared fixtures: where the reference material is, and one deterministic smooth field."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_path(relative: str) -> Path:
    """Return a path of the reference material that lies beside the repository, or skip the test where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"reference material {relative} is not beside this checkout")
    return path


@pytest.fixture
def shared_dir() -> Path:
    """The folder of reference material; the test is skipped where there is none."""
    return shared_path(".")


def pytest_terminal_summary(terminalreporter) -> None:
    """Print how far the networks are from the authors' code, where a run compared them."""
    from tests.parity import REPORT, report_lines

    if REPORT:
        terminalreporter.section("parity with the authors' code")
        terminalreporter.write_line("\n".join(report_lines(REPORT)))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def smooth_ddf(shape: tuple[int, int, int], amplitude: float = 2.0, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Return a smooth random field (batch, 3, *shape), about ``amplitude`` voxels strong and free of folds."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 3, *[max(2, n // 8) for n in shape], generator=generator)
    field = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    return field * (amplitude / field.abs().amax().clamp_min(1e-6))
