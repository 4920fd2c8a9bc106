"""The pipeline of one pair: files in, the network's grid, the fixed image's grid, files out; as MONAI transforms."""

from common.behind import Behind
from common.registration.alignment import AlignPaird
from common.registration.brain import ExtractBraind
from common.registration.grids import ToFixedGridd, ToNetworkGridd
from common.registration.inferer import AutocastInferer, NoNetwork
from common.registration.load import LoadPaird, load_image
from common.registration.many import PairDataset, PairEvaluator
from common.registration.masks import UseMasksd
from common.registration.pairs import check_pair_files, registration_pairs
from common.registration.progress import StageProgress
from common.registration.refinement import RefineFieldd
from common.registration.safety_net import KeepBetterd
from common.registration.save import SaveRegistrationd
from common.registration.summary import Summary
from common.registration.validate import ValidatePaird

__all__ = [
    "AlignPaird",
    "AutocastInferer",
    "Behind",
    "ExtractBraind",
    "KeepBetterd",
    "LoadPaird",
    "NoNetwork",
    "PairDataset",
    "PairEvaluator",
    "RefineFieldd",
    "SaveRegistrationd",
    "StageProgress",
    "Summary",
    "ToFixedGridd",
    "ToNetworkGridd",
    "UseMasksd",
    "ValidatePaird",
    "check_pair_files",
    "load_image",
    "registration_pairs",
]
