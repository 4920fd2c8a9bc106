"""From files to networks and back: reading and checking pairs, the network grid, results; and data for training."""

from common.data.files import read_field, save_field
from common.data.load import LoadPaird, load_image
from common.data.pairs import check_pair, registration_pairs
from common.data.progress import StageProgress
from common.data.save import SaveRegistrationd
from common.data.transforms import ToFixedGridd, ToNetworkGridd
from common.data.validate import ValidatePaird

__all__ = [
    "LoadPaird",
    "SaveRegistrationd",
    "StageProgress",
    "ToFixedGridd",
    "ToNetworkGridd",
    "ValidatePaird",
    "check_pair",
    "load_image",
    "read_field",
    "registration_pairs",
    "save_field",
]
