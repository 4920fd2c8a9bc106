"""Instance optimisation: one pair's field, refined on the images themselves.

``refine(Pair(moving, fixed), start, Options())`` returns a field that is one to one by the ten determinants, and a
record of what was chosen and why. One file a concept, from the top: ``refine`` (the run), ``options`` (presets and
recipes), ``choice`` (what auto measures), ``levels`` (what a level looks at), ``optimiser`` (steps and their control),
``descent`` and ``compiled_descent`` (a level's state, in PyTorch and on numba's kernels), ``similarity``,
``correlation``, ``mind``, ``conditional``, ``landmarks`` (what pulls), ``smoothing``, ``determinants``, ``region``,
``start``, ``structures`` (what somebody else knows of the images).
"""

from common.refine.options import Options
from common.refine.pair import Pair
from common.refine.record import LevelRecord, Record
from common.refine.refine import Refined, refine
from common.refine.structures import Describe, Structures

__all__ = ["Describe", "LevelRecord", "Options", "Pair", "Record", "Refined", "Structures", "refine"]
