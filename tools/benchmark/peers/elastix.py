"""elastix: B-spline registration by Mattes mutual information with the package's default parameter map."""

import numpy as np

from tools.benchmark.peers.base import Images, Peer


def register(images: Images) -> np.ndarray:
    """Default ``bspline`` parameters; the field comes from transformix."""
    import itk

    fixed, moving = (itk.imread(path, itk.F) for path in (images.fixed_path, images.moving_path))
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("bspline", 4))
    _, transform = itk.elastix_registration_method(
        fixed, moving, parameter_object=parameters, log_to_console=False, number_of_threads=images.threads
    )
    # transformix writes the field into its output folder besides returning it.
    field = itk.array_from_image(
        itk.transformix_deformation_field(moving, transform, output_directory=str(images.folder))
    )
    # ITK gives (z, y, x, component).
    return images.field_from_lps(field.transpose(3, 2, 1, 0))


PEER = Peer(
    "elastix",
    "elastix, B-spline",
    "default bspline parameter map, 4 resolutions, Mattes MI",
    register,
    "itk.ElastixPython",
    "itk-elastix",
)
