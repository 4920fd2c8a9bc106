"""``python -m tools picture``: draw a finished registration."""

from common.report import draw_registration


def picture(fixed: str, moving: str, result: str, output: str = "registration.png") -> None:
    """Draw both images, the result and the field of a registration into one PNG.

    Args:
        fixed: the fixed image.
        moving: the moving image.
        result: the ``output_dir`` of the registration.
        output: the picture.
    """
    print(f"written: {draw_registration(fixed, moving, result, output)}")
