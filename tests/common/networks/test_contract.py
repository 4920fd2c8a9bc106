import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.networks.contract import check_pair_shape, without_metadata


@pytest.mark.parametrize(
    ("shape", "multiple", "smallest"),
    [((2, 2, 16, 32, 48), 16, 1), ((1, 2, 5, 7, 9), 1, 4), ((1, 2, 32, 64, 32), 16, 32)],
)
def test_pairs_that_fit_pass(shape, multiple, smallest):
    check_pair_shape(torch.empty(shape), multiple, "Net", smallest)


@pytest.mark.parametrize(
    ("shape", "multiple", "smallest", "least"),
    [
        ((1, 1, 16, 16, 16), 16, 1, 16),
        ((2, 16, 16, 16), 16, 1, 16),
        ((1, 2, 16, 24, 16), 16, 1, 16),
        ((1, 2, 16, 32, 32), 16, 32, 32),
        ((1, 2, 0, 16, 16), 16, 1, 16),
    ],
)
def test_others_are_refused_with_what_is_expected(shape, multiple, smallest, least):
    with pytest.raises(InputError) as caught:
        check_pair_shape(torch.empty(shape), multiple, "Net", smallest)
    assert str(caught.value) == (
        "Net expects a pair (B, 2, X, Y, Z) with moving and fixed as channels and sides that are multiples "
        f"of {multiple} and at least {least}, got {shape}"
    )


def test_metadata_is_taken_off_and_a_plain_tensor_stays_itself():
    plain = torch.rand(1, 2, 4, 4, 4)
    assert without_metadata(plain) is plain
    assert type(without_metadata(MetaTensor(plain))) is torch.Tensor
