"""``python -m tools apply``: bring further images, labels and points along with stored transforms."""

from collections.abc import Sequence


def apply(
    transform: Sequence[str],
    input: Sequence[str],
    output: Sequence[str],
    reference: str | None = None,
    interpolation: Sequence[str] = ("linear",),
    inverse: bool = False,
    fill: float | None = None,
) -> None:
    """Bring images, series, labels, segmentations and points to where a registration's moving image went.

    One command takes them all, and a point stays on its structure: images are pulled through the transforms, points
    pushed through their inverse. (antsApplyTransformsToPoints does the opposite with the same list: it takes points of
    the fixed image to the moving one. That is --inverse here.)

    Several transforms stand in ANTs' order, as after -t: what is listed last meets the image first. For a field and an
    affine of one registration this is --transform warp.nii.gz affine.mat. They are composed before anything is read, so
    that each voxel is interpolated once.

    Examples:

    - apply --transform result/warp.nii.gz --input moving_ct.nii.gz --reference fixed.nii.gz --output ct_in_fixed.nii.gz
    - apply --transform warp.nii.gz affine.mat --input t1.nii.gz seg.nii.gz marks.mrk.json --interpolation
      linear,label,linear --reference fixed.nii.gz --output moved/
    - apply --transform result/warp.nii.gz --input atlas_labels.nii.gz --inverse --interpolation label
      --reference moving.nii.gz --output labels_in_moving.nii.gz

    Args:
        transform: files of transforms, ours, ITK's, ANTs' or Slicer's: .h5, .mat, .tfm, .txt, .nii.gz (fields).
        input: files to bring along: images of three or four axes (NIfTI, MGH, NRRD, MHA, DICOM folder), segmentations
            of Slicer (.seg.nrrd), points (.csv with columns x,y,z in LPS mm as ANTs has them, .mrk.json).
        output: a file for each input, or one folder, in which they keep their names.
        reference: image whose grid the results have: the fixed image, with --inverse the moving one. Points alone need
            none.
        interpolation: linear, cubic, nearest, or label (the label with the largest share in linear interpolation); one
            for all, or one for each input with commas between them. Segmentations always take label or nearest.
        inverse: go the other way, from the fixed image's space to the moving one's.
        fill: value outside of an image; without it the image's own background. Labels get 0.

    Raises:
        InputError: a file cannot be read or written, or the transforms do not lead from the reference to an input.
    """
    from common.registration.applying import apply_to_files
    from common.registration.chain import Chain
    from common.registration.jobs import plan

    read = [*transform, *([] if reference is None else [reference])]
    jobs = plan(input, output, interpolation, read)
    apply_to_files(jobs, Chain.read(transform, inverse), reference, fill)
    for job in jobs:
        print(f"written: {job.target}")
