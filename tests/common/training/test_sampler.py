import pytest

from common.errors import InputError
from common.training.sampler import StepSampler
from tests.common.training.engines import engine


def test_items_go_on_over_epochs_and_are_shared_out_over_ranks() -> None:
    one = StepSampler(6)
    one.set_epoch(2)
    assert list(one) == [12, 13, 14, 15, 16, 17] and len(one) == 6
    ranks = [StepSampler(6, rank, 2) for rank in range(2)]
    for sampler in ranks:
        sampler.set_epoch(2)
    assert [list(s) for s in ranks] == [[12, 14, 16], [13, 15, 17]]
    with pytest.raises(InputError, match="cannot be shared evenly by 4"):
        StepSampler(6, 0, 4)


def test_the_sampler_follows_the_epochs_of_a_run() -> None:
    run, sampler, seen = engine(), StepSampler(2), list[int]()
    sampler.attach(run)
    run._process_function = lambda engine, batch: seen.append(batch)
    run.run(sampler, max_epochs=3)  # type: ignore[arg-type]
    assert seen == [0, 1, 2, 3, 4, 5]
