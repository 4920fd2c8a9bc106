"""The keys of the dictionary that one pair travels in, from the list of pairs to the written files.

A transform takes such a dictionary and returns a new one. ``fixed`` and ``moving`` are paths until ``LoadPaird`` puts
the images in their place. No key ever holds None, which does not collate: what is not there has no key.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """What one key holds, who writes it and who reads it; ``user`` names files and words in options or a datalist."""

    value: str
    writer: str
    readers: str


KEYS = {
    "fixed": Key("path; then the image, (1, X, Y, Z) float32 with its affine", "user, LoadPaird", "all"),
    "moving": Key("path; then the image, (1, X', Y', Z') float32 with its affine", "user, LoadPaird", "all"),
    "fixed_label": Key("path; then label indices on fixed's grid, (1, X, Y, Z)", "user, LoadPaird", "saver, scorer"),
    "moving_label": Key(
        "path; then label indices on moving's grid, (1, X', Y', Z')", "user, LoadPaird", "ToFixedGridd, scorer"
    ),
    "fixed_mask": Key("path; then the fixed brain, (1, X, Y, Z)", "user, UseMasksd, ExtractBraind", "saver"),
    "moving_mask": Key("path; then the moving brain, (1, X', Y', Z')", "user, UseMasksd, ExtractBraind", "saver"),
    "fixed_exclude": Key(
        "path; then what is not to count of fixed, (1, X, Y, Z)", "user, UseMasksd", "all that compare"
    ),
    "moving_exclude": Key(
        "path; then what does not count of moving, (1, X', Y', Z')", "user, UseMasksd", "who compares"
    ),
    "moving_whole": Key("moving before it was stripped or filled", "UseMasksd, ExtractBraind", "ToFixedGridd, saver"),
    "brain_figures": Key("what was stripped and how, as JSON text", "ExtractBraind", "saver"),
    "fixed_keypoints": Key("path of points, voxel indices of fixed", "user", "scorer"),
    "moving_keypoints": Key("path of the points that belong to them, voxel indices of moving", "user", "scorer"),
    "fixed_points": Key("path of points of fixed that belong to moving_points, world mm", "user", "saver"),
    "moving_points": Key("path of points of moving to bring along, world mm", "user", "saver"),
    "true_field": Key("path of an ITK displacement field on any grid, LPS mm", "user", "saver"),
    "initial": Key("path of a linear transform, fixed to moving; optional", "user", "AlignPaird"),
    "name": Key("text: folder of the results, the pair's name in tables", "user, registration_pairs", "saver, scorer"),
    "kind": Key("text: the group of pairs that tables take a mean over", "user", "scorer"),
    "inputs": Key("all files of the pair by key, as JSON text", "LoadPaird", "saver"),
    "clock": Key("seconds by stage; start and end on perf_counter's scale", "every transform", "saver, scorer"),
    "fixed_background": Key("intensity of the empty surroundings; NaN: none", "foreground.py, once", "foreground.py"),
    "moving_background": Key("intensity of the empty surroundings; NaN: none", "foreground.py, once", "foreground.py"),
    "moving_whole_background": Key("the same of moving_whole; NaN: none", "foreground.py, once", "foreground.py"),
    "fixed_foreground": Key(
        "(N, 3) points that span the foreground, RAS mm; until ToNetworkGridd", "foreground.py, once", "foreground.py"
    ),
    "moving_foreground": Key(
        "(N, 3) points that span the foreground, RAS mm; until ToNetworkGridd", "foreground.py, once", "foreground.py"
    ),
    "fixed_range": Key("(2,) intensities that become 0 and 1", "intensities.py, once", "ToNetworkGridd, saver"),
    "moving_range": Key("(2,) intensities that become 0 and 1", "intensities.py, once", "ToNetworkGridd, saver"),
    "alignment": Key(
        "(4, 4) from fixed's world to moving's, RAS mm; optional",
        "AlignPaird",
        "both grid steps",
    ),
    "alignment_figures": Key("what the alignment found, as JSON text", "AlignPaird", "saver"),
    "image": Key("(2, x, y, z) float32 in [0, 1], moving first, on the network's grid", "ToNetworkGridd", "network"),
    "counted": Key("(2, x, y, z) on image's grid, 0 where one is excluded, unseen", "ToNetworkGridd", "RefineFieldd"),
    "identical_inputs": Key("whether both channels of image are one image", "ToNetworkGridd", "ToFixedGridd, saver"),
    "pred": Key(
        "(3, x, y, z) in voxels of image's grid", "network, RefineFieldd, KeepBetterd", "the steps behind the network"
    ),
    "refinement": Key("what refinement chose and did, plain values", "RefineFieldd, KeepBetterd", "KeepBetterd, saver"),
    "quality": Key("flags of the result, see quality_flags.py, plain values", "KeepBetterd", "saver"),
    "quality_figures": Key("figures behind the flags, plain values", "KeepBetterd", "saver"),
    "fallback": Key("what gave way to what and why; only where something did", "KeepBetterd", "saver"),
    "network_max_voxel": Key("length of pred's longest vector, voxels", "ToFixedGridd", "saver"),
    "ddf": Key("(3, X, Y, Z), the total displacement in voxels of fixed", "ToFixedGridd", "saver, scorer"),
    "outside_value": Key("intensity of moved where ddf leaves the moving image", "ToFixedGridd", "saver"),
    "moved": Key("(1, X, Y, Z) float32, moving seen from fixed's grid", "ToFixedGridd", "saver"),
    "moved_label": Key("(1, X, Y, Z), moving_label on fixed's grid", "ToFixedGridd", "saver"),
    "metrics": Key("content of metrics.json", "saver", "caller"),
    "output_files": Key("the written files, metrics.json last", "saver", "caller"),
    "record": Key("every score of the pair, for tables; no other key stays beside it", "scorer", "EvaluationReport"),
}
#: Optional keys that hold label maps.
LABEL_KEYS = ("fixed_label", "moving_label")
#: Optional keys that hold masks: brains, and regions that are not to count.
MASK_KEYS = ("fixed_mask", "moving_mask", "fixed_exclude", "moving_exclude")
#: Optional keys that hold paths of points, as Learn2Reg calls them.
KEYPOINT_KEYS = ("fixed_keypoints", "moving_keypoints")
#: Optional keys that hold paths of points in the world: ANTs' CSV, 3D Slicer's markups.
POINT_KEYS = ("fixed_points", "moving_points")
#: Keys that hold paths when a pair is listed.
PATH_KEYS = ("fixed", "moving", *LABEL_KEYS, *MASK_KEYS, *KEYPOINT_KEYS, *POINT_KEYS, "true_field", "initial")
