import pytest

from common.errors import InputError
from common.training.progress import StepProgress
from tests.common.training.engines import engine


@pytest.mark.parametrize(
    ("options", "shown"), [({}, True), ({"enabled": "false"}, False), ({"enabled": "true", "rank": 1}, False)]
)
def test_the_bar_counts_all_steps(options: dict, shown: bool, capsys: pytest.CaptureFixture) -> None:
    run = engine()
    StepProgress(**options).attach(run)
    run.run([0.0, 1.0, 2.0], max_epochs=4)
    assert ("12/12" in capsys.readouterr().err) is shown


def test_what_is_no_switch_is_refused() -> None:
    with pytest.raises(InputError, match="StepProgress's enabled to be true or false"):
        StepProgress(enabled="sometimes")  # type: ignore[arg-type]
