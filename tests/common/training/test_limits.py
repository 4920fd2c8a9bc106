import pytest

from common.training.limits import TimeLimit
from tests.common.training.engines import engine


@pytest.mark.parametrize(("minutes", "epochs"), [(1e-9, 1), (0, 4), (1e9, 4)])
def test_the_run_ends_behind_the_epoch_in_which_the_time_is_over(minutes: float, epochs: int) -> None:
    run = engine()
    TimeLimit(minutes).attach(run)
    run.run([0.0, 1.0, 2.0], max_epochs=4)
    assert (run.state.epoch, run.state.iteration) == (epochs, 3 * epochs)
