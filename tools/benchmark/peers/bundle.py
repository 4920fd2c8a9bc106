"""A bundle as a method of the benchmark: registered as every door does it, by ``Bundle.register``."""

import hashlib
from typing import Any

import numpy as np

from common.bundle import Bundle, bundle_folders
from common.bundle.folder import read_json
from common.errors import InputError
from common.registration.clock import registration_seconds
from common.spatial.passes import passes_of
from tools.benchmark.peers.base import Images, Peer


def bundle_names() -> list[str]:
    """Bundles that are found by their name."""
    return sorted(bundle_folders())


def ready_names() -> list[str]:
    """Those of them that have weights."""
    return sorted(name for name, root in bundle_folders().items() if (root / "models" / "model.pt").is_file())


def bundle_of(method: str) -> str:
    """The bundle's name in a method's."""
    return method.partition("+")[0].partition(":")[0]


def bundle_method(method: str) -> Peer:
    """The bundle as a method of the benchmark.

    Args:
        method: the bundle's name; ``NAME:PASSES`` for other passes than its configuration has, such as
            ``mambamorph:2-1``; with ``+refine`` behind it for the refined field instead of the network's own.

    Raises:
        InputError: no weights, or no passes behind the colon.
    """
    plain, plus, refined = method.partition("+")
    name, _, wanted = plain.partition(":")
    if plus and refined != "refine":
        raise InputError(f"method {method!r}: expected +refine behind the plus, got {refined!r}")
    if not all(word.isdigit() for word in wanted.split("-") if wanted):
        raise InputError(f"method {method!r}: expected passes such as 2-1 behind the colon, got {wanted!r}")
    bundle = Bundle(name)
    weights = bundle.root / "models" / "model.pt"
    if not weights.is_file():
        raise InputError(f"bundle {name}: expected weights at {weights}, got no such file")
    config = read_json(bundle.root / "configs" / "inference.json")
    passes = passes_of([int(word) for word in wanted.split("-")] if wanted else config.get("passes", 1))
    grids = ", then ".join(f"{factor * config['spacing']:g} mm" for factor in passes)
    title = bundle.name + (f" at {grids}" if wanted else "") + (", refined" if plus else "")
    settings = f"bundle {bundle.version}, network at {grids}, {'then refinement' if plus else 'network alone'}"
    overrides = {
        "passes": passes,
        "brain": "none",
        "align": "none",
        "refine": "auto" if plus else "off",
        "keep": True,
        "device": "cpu",
    }
    return Peer(method, title, settings, lambda images: _register(bundle, overrides, images))


def bundle_digest(method: str) -> str:
    """First 12 digits of the SHA-256 of a bundle's weights and configuration: a change there means a new record."""
    root = Bundle(bundle_of(method)).root
    content = [(root / part).read_bytes() for part in ("models/model.pt", "configs/inference.json")]
    return hashlib.sha256(b"".join(content)).hexdigest()[:12]


def _register(bundle: Bundle, overrides: dict[str, Any], images: Images) -> np.ndarray:
    """Register the pair, which is aligned: every method starts from the same place; return the field."""
    pair = {"fixed": images.fixed_path, "moving": images.moving_path}
    (result,) = bundle.register(pair, images.folder / "bundle", **overrides)
    seconds = result.metrics["stage_seconds"]
    images.notes["seconds"] = registration_seconds(seconds)
    images.notes["network_seconds"] = seconds["network"]
    images.notes["network_grid"] = result.metrics["network_grid"]["shape"]
    return images.field_from_file(result.folder / "warp.nii.gz")
