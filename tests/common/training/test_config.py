import pytest
import torch
from ignite.engine import Events

from common.training.config import Handlers, set_up
from tests.common.training.engines import engine


def test_handlers_are_attached_in_their_order() -> None:
    class Handler:
        def __init__(self, name: str) -> None:
            self.name = name

        def attach(self, engine):
            engine.add_event_handler(Events.STARTED, lambda _: called.append(self.name))

    called: list[str] = []
    run = engine()
    Handlers([Handler("first"), Handler("second"), Handlers([Handler("third")])]).attach(run)
    run.run([0.0], max_epochs=1)
    assert called == ["first", "second", "third"]


@pytest.mark.parametrize("threads", [0, 1])
def test_a_run_starts_from_its_seed(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        drawn = []
        for seed in (3, 3, 4):
            set_up(seed, threads)
            drawn.append(torch.rand(2))
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
        assert torch.get_num_threads() == (threads or before)
    finally:
        torch.set_num_threads(before)
        set_up(0)
