"""What the bundles' configurations call by name, and how a program opens a bundle and registers with it."""

from common.bundle.command_line import end_errors_in_one_line
from common.bundle.config import LoadWeights, begin, pairs_of, require_pairs, run_settings
from common.bundle.folder import build_network, load_network
from common.bundle.register import open_bundle, register
from common.bundle.run import Bundle, Registered
from common.places import bundle_folders, find_bundle

__all__ = [
    "Bundle",
    "LoadWeights",
    "Registered",
    "begin",
    "build_network",
    "bundle_folders",
    "end_errors_in_one_line",
    "find_bundle",
    "load_network",
    "open_bundle",
    "pairs_of",
    "register",
    "require_pairs",
    "run_settings",
]
