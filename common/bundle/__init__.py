"""What the bundles' configurations call by name, and how a program opens and runs a bundle."""

from common.bundle.config import bundle_root, end_errors_in_one_line, require_pairs, require_weights
from common.switches import switch

__all__ = ["bundle_root", "end_errors_in_one_line", "require_pairs", "require_weights", "switch"]
