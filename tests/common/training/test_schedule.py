import pytest
import torch

from common.training.schedule import PolynomialRate
from tests.common.training.engines import engine


def test_polynomial_rate_is_the_published_schedule() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = PolynomialRate(optimizer, 1e-4, 0.9, 500)
    assert schedule.rate(1, 1) == pytest.approx(1e-4)
    assert schedule.rate(251, 9) == pytest.approx(1e-4 * 0.5**0.9)
    assert schedule.rate(501, 9) == 0.0
    assert PolynomialRate(optimizer, 1e-4, 0.0, 3).rate(3, 1) == 1e-4
    assert PolynomialRate(optimizer, 1e-4, 0.0, 3, warmup_steps=10).rate(1, 5) == pytest.approx(5e-5)
    run = engine()
    schedule.attach(run)
    run.run([0.0], max_epochs=2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-4 * (1 - 1 / 500) ** 0.9)


def test_a_run_of_limited_time_ends_with_a_rate_of_zero() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = PolynomialRate(optimizer, 1e-4, 1.0, 100, minutes=10)
    assert schedule.rate(1, 1, 0.0) == pytest.approx(1e-4)
    assert schedule.rate(11, 9, 300.0) == pytest.approx(0.5e-4)  # half of the time, a tenth of the epochs
    assert schedule.rate(81, 9, 300.0) == pytest.approx(0.2e-4)
    assert schedule.rate(11, 9, 601.0) == 0.0
    assert PolynomialRate(optimizer, 1e-4, 0.0, 100, minutes=10).rate(11, 9, 599.0) == 1e-4
