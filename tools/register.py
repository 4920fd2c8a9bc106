"""``python -m tools register``: one pair, from two files to a folder of results, or to a plan of what would be done."""

import logging
from collections.abc import Sequence
from typing import Any


def register(
    fixed: str,
    moving: str,
    output_dir: str,
    bundle: str = "mambamorph",
    fixed_label: str | None = None,
    moving_label: str | None = None,
    fixed_mask: str | None = None,
    moving_mask: str | None = None,
    fixed_exclude: str | None = None,
    moving_exclude: str | None = None,
    points: str | None = None,
    fixed_points: str | None = None,
    moving_points: str | None = None,
    brain: str = "auto",
    true_field: str | None = None,
    align: str = "auto",
    initial: str | None = None,
    window: str = "auto",
    passes: Sequence[int] | None = None,
    spacing: float | None = None,
    refine: str = "auto",
    refine_similarity: str = "auto",
    refine_start: str | None = None,
    refine_window: int | None = None,
    refine_smoothness: float | None = None,
    refine_symmetric: bool = False,
    refine_seconds: float | None = None,
    refine_structures: bool = True,
    keep: bool = False,
    outputs: Sequence[str] = ("transform",),
    field_spacing: str = "auto",
    report: bool = False,
    device: str | None = None,
    amp: bool = False,
    threads: int | None = None,
    load_pretrain: bool | None = None,
    console: bool = True,
    plan: bool = False,
) -> None:
    """Register one image to another.

    Heads are stripped to the brain. The moving image is aligned linearly to the fixed one, registered by a network,
    refined on the two images themselves, and judged: what is worse than the alignment alone gives way to it, with a
    word. Orientation, spacing, size and type of the two images may differ in any way. Results are moved.nii.gz on the
    fixed image's grid, warp.nii.gz, transform.h5, affine.mat, jacobian.nii.gz, metrics.json, and moved_label.nii.gz
    and moved_points where there are labels and points.

    Transforms:
        Every transform maps points of the fixed image to the moving one, as in ITK, ANTs and Slicer: moved(x) =
        moving(transform(x)). warp.nii.gz is the total displacement at each voxel of the fixed image, in LPS mm.
        transform.h5 is a chain that points meet in this order: field, then affine; its field is thinned to twice the
        spacing, and metrics.json says what that costs. Further images, labels and points: the command apply.

    Formats:
        Images and labels: NIfTI, MGH, NRRD, MHA, a folder with one DICOM series. Transforms that are read: .mat, .tfm,
        .txt and .h5 of ITK, ANTs and Slicer. Written: .nii.gz, .h5, .mat, .json.

    Environment:
        REGISTRATION_BUNDLES names a folder of bundles; SCAN_BACKEND the backend of the selective scan; OMP_NUM_THREADS
        the threads; CUDA_VISIBLE_DEVICES the GPUs.

    Examples:
        - register --fixed t1.nii.gz --moving ct.nii.gz --output_dir result
        - register --fixed t1.nii.gz --moving ct.nii.gz --output_dir result --plan
        - register --fixed atlas.nii.gz --moving t1.nii.gz --output_dir result --bundle none
        - register --fixed a.nii.gz --moving b.nii.gz --output_dir result --align none --initial ants0GenericAffine.mat
        - register --fixed a.nii.gz --moving b.nii.gz --output_dir result --points marks_in_b.csv
        - register --fixed a.nii.gz --moving b.nii.gz --output_dir result --outputs transform,inverse --device cpu

    References:
        Each bundle's page names its paper: docs/README.md in its folder. Conventions: docs/conventions.md; transforms:
        docs/transforms.md; questions: docs/howto.

    Args:
        fixed: the image that stays where it is.
        moving: the image that is brought to it.
        output_dir: folder for the results; one that is there keeps other files.
        bundle: name or folder of a bundle; none aligns and refines without a network.
        fixed_label: label map of the fixed image, for Dice.
        moving_label: label map of the moving image, which is moved along.
        fixed_mask: brain mask of the fixed image; without it a head is recognised and stripped.
        moving_mask: brain mask of the moving image.
        fixed_exclude: mask of what is not to count in the fixed image, such as a lesion.
        moving_exclude: the same of the moving image.
        points: points of the moving image, .csv (x,y,z in LPS mm) or .mrk.json, to bring to the fixed one.
        fixed_points: the same points in the fixed image, in the same order, for their distance before and after.
        moving_points: the same as points.
        brain: auto takes the brain out of a head with its skull; none leaves every image as it is.
        true_field: displacement field that is known to be right, for its distance.
        align: auto, rigid, affine or none.
        initial: linear transform from fixed to moving to start from; with --align none it is the alignment.
        window: intensities that count: auto, none, or two numbers such as 0,80 for CT.
        passes: grids of the network, coarse to fine; the bundle's own without it.
        spacing: mm of the network's grid; the bundle's own without it.
        refine: off, fast, accurate or auto.
        refine_similarity: auto, correlation or mind.
        refine_start: auto, network, affine or mean.
        refine_window: radius of the correlation's windows in voxels.
        refine_smoothness: smoothing of the field in voxels, 0 to 2.
        refine_symmetric: treat both images alike.
        refine_seconds: no iteration begins after this time.
        refine_structures: with two contrasts, let a network tell the brain's structures in both images.
        keep: leave a field that is worse than its start, flagged.
        outputs: further files: transform, inverse, inverse_warp, disp, inverse_disp, all, none.
        field_spacing: mm between the vectors of transform.h5; auto is twice the fixed image's, 0 its own.
        report: write report.html and report.png as well.
        device: cpu, cuda or cuda:0; a GPU where there is one without it.
        amp: compute the network in bfloat16.
        threads: of the processor; all without it.
        load_pretrain: false leaves the network with random weights.
        console: false prints neither progress nor summary.
        plan: say what would be done, and write nothing. Reads both images and aligns them.

    Raises:
        InputError: something that is given cannot be used.
    """
    given: dict[str, Any] = {key: value for key, value in locals().items() if value is not None}
    own = ("bundle", "output_dir", "plan", "threads")
    options = {key: value for key, value in given.items() if key not in own}
    if "," in window:
        options["window"] = [word.strip(" []()") for word in window.split(",")]

    import torch

    from common.bundle import open_bundle
    from common.registration.keys import PATH_KEYS

    # As names of files: a configuration would take a leading $, % or @ for its own.
    pair = {key: options.pop(key) for key in PATH_KEYS if key in options}
    if points is not None:
        pair.setdefault("moving_points", options.pop("points"))
    # What ends a run is said once, in our words.
    logging.getLogger("ignite.engine.engine").setLevel(logging.CRITICAL)
    if threads is not None:
        torch.set_num_threads(threads)
    opened = open_bundle(bundle)
    if plan:
        from tools.plan import plan_lines

        options["console"] = False
        print("\n".join(plan_lines(opened, pair, output_dir, options)))
    else:
        opened.register(pair, output_dir, **options)
