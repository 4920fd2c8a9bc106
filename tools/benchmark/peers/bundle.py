"""A bundle as a method of the benchmark: registered as every door does it, by ``Bundle.register``."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

import common.refine
from common.bundle import Bundle, bundle_folders
from common.bundle.register import NO_NETWORK
from common.errors import InputError
from common.refine.options import PRESETS
from common.registration.clock import registration_seconds
from common.spatial.passes import passes_of
from tools.benchmark.peers.base import Images, Peer

#: What may stand behind the plus of a method, and the preset of the refinement that it means.
REFINED = {"": "off", "refine": "auto", "fast": "fast", "accurate": "accurate"}


def bundle_names() -> list[str]:
    """Bundles that are found by their name."""
    return sorted(bundle_folders())


def ready_names() -> list[str]:
    """Those of them that have weights."""
    return sorted(name for name, root in bundle_folders().items() if (root / "models" / "model.pt").is_file())


def refined_names() -> list[str]:
    """The refinement alone and behind every bundle that has weights."""
    return [f"{name}+refine" for name in ("none", *ready_names())]


def is_bundle(method: str) -> bool:
    """Whether a method names a bundle that is found, or the refinement without one."""
    name, plus, _ = method.partition("+")
    return name.partition(":")[0] in bundle_names() or (name == "none" and bool(plus))


def bundle_method(method: str) -> Peer:
    """The bundle as a method of the benchmark.

    Args:
        method: the bundle's name, for the network's own field; ``NAME:PASSES`` for other passes than its configuration
            has, such as ``mambamorph:2-1``; ``+refine``, ``+fast`` or ``+accurate`` behind it for the field refined by
            default or by that preset. ``none+refine`` is the refinement of the alignment, without a network.

    Raises:
        InputError: no weights, no passes behind the colon, no preset behind the plus.
    """
    plain, plus, refined = method.partition("+")
    name, _, wanted = plain.partition(":")
    if bool(plus) != bool(refined) or refined not in REFINED:
        raise InputError(f"method {method!r}: expected +refine, +fast or +accurate behind the plus, got {refined!r}")
    if not all(word.isdigit() for word in wanted.split("-") if wanted):
        raise InputError(f"method {method!r}: expected passes such as 2-1 behind the colon, got {wanted!r}")
    bundle = _bundle(name)
    weights = bundle.root / "models" / "model.pt"
    if name != "none" and not weights.is_file():
        raise InputError(f"bundle {name}: expected weights at {weights}, got no such file")
    # A network's own field is measured whatever the safety net says of it; the default is measured as users get it.
    overrides = {"brain": "none", "align": "none", "refine": REFINED[refined], "keep": not plus, "device": "cpu"}
    if wanted:
        overrides["passes"] = [int(word) for word in wanted.split("-")]
    config = bundle.parser(**overrides)
    passes = passes_of(config.get_parsed_content("passes"))
    grids = ", then ".join(f"{factor * config['spacing']:g} mm" for factor in passes)
    network = "no network" if name == "none" else f"network at {grids}"
    after = f"then refinement, {config['refine']}" if plus else "network alone"
    title = "Refinement alone"
    if name != "none":
        title = bundle.name + (f" at {grids}" if wanted else "") + (", refined" if plus else "")
    title += f" ({refined})" if refined in PRESETS else ""
    settings = f"bundle {bundle.version}, {network}, {after}"
    return Peer(method, title, settings, lambda images: _register(bundle, overrides, images))


def bundle_digest(method: str) -> str:
    """First 12 digits of the SHA-256 of what makes a bundle's field: a change there means a new record."""
    plain, plus, _ = method.partition("+")
    root = _bundle(plain.partition(":")[0]).root
    files = [root / "models" / "model.pt", root / "configs" / "inference.json"]
    if plus:
        files += sorted(Path(common.refine.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]


def _bundle(name: str) -> Bundle:
    return Bundle(NO_NETWORK if name == "none" else name)


def _register(bundle: Bundle, overrides: dict[str, Any], images: Images) -> np.ndarray:
    """Register the pair, which is aligned: every method starts from the same place; return the field."""
    pair = {"fixed": images.fixed_path, "moving": images.moving_path}
    (result,) = bundle.register(pair, images.folder / "bundle", **overrides)
    seconds = result.metrics["stage_seconds"]
    images.notes["seconds"] = registration_seconds(seconds)
    images.notes["network_seconds"] = seconds["network"]
    images.notes["network_grid"] = result.metrics["network_grid"]["shape"]
    return images.field_from_file(result.folder / "warp.nii.gz")
