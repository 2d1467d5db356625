"""Alpha: how much of each pixel belongs to what is cut out of an image."""

import importlib.util
import io
from collections.abc import Sequence
from contextlib import redirect_stdout

import numpy as np
from PIL import Image, ImageFilter

from petseg_runtime.resizing import resize

EDGES = ("hard", "feathered", "matted")

# Name of the class of pixels that may belong to the object or to the background.
BORDER = "border"

# Without such pixels, matting decides about those this close to the outline: a part of the shorter
# side of the image, as are the standard deviations of two blurs: of feathered edges, and of what
# decides to which side a pixel of the border belongs.
BAND = 0.01
FEATHER = 0.002
NEARER = 0.02

# Larger areas are matted at a reduced size, which bounds time and memory.
MATTED_PIXELS = 2**20
MARGIN = 16  # pixels around the undecided ones that matting looks at, too


def border_of(classes: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Finds the pixels of the class called "border".

    Args:
        classes: Classes `(H, W)`.
        class_names: Name of each class, or none.

    Returns:
        bool `(H, W)`.
    """
    names = [name.casefold() for name in class_names]
    return classes == (names.index(BORDER) if BORDER in names else -1)


def feathered(solid: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Blurs the edge of a mask. It runs through the middle of the border, where there is one.

    Args:
        solid: 255 for the object and its border, 0 for the background, uint8 `(H, W)`.
        border: The pixels of the border, bool `(H, W)`.

    Returns:
        uint8 alpha `(H, W)`.
    """
    side = min(solid.shape)
    if border.any():
        inside = _blurred(np.where(border, np.uint8(0), solid), NEARER * side)
        outside = _blurred(255 - solid, NEARER * side)
        solid = np.where(border & (inside < outside), np.uint8(0), solid)
    return _blurred(solid, FEATHER * side)


def _blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.GaussianBlur(sigma)))


def check_matting() -> None:
    """Checks that PyMatting can be imported, without importing it: that takes seconds.

    Raises:
        ImportError: If it is not installed.
    """
    if importlib.util.find_spec("pymatting") is None:
        raise ImportError(
            'Matted edges need PyMatting. Install it with `pip install "petseg[matting]"`, or '
            "choose feathered edges."
        )


def matted(
    photo: np.ndarray, solid: np.ndarray, border: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates alpha and the colours of the object in its border, or near its outline.

    Closed-form matting (Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image
    Matting", 2008) and multi-level foreground estimation (Germer et al., 2020), both of PyMatting.

    Args:
        photo: uint8 RGB `(H, W, 3)`.
        solid: 255 for the object and its border, 0 for the background, uint8 `(H, W)`.
        border: The pixels of the border, bool `(H, W)`.

    Returns:
        uint8 alpha `(H, W)`, and the photo with the colours of the object alone, uint8 `(H, W, 3)`.

    Raises:
        ImportError: If PyMatting is not installed.
    """
    check_matting()
    from pymatting import estimate_alpha_cf, estimate_foreground_ml

    undecided = border if border.any() else _near_outline(solid)
    if not undecided.any():
        return solid, photo
    box = _box_around(undecided)
    part, known = photo[box], np.where(undecided, np.uint8(128), solid)[box]
    scale = min(1.0, (MATTED_PIXELS / known.size) ** 0.5)
    size = [max(1, round(scale * side)) for side in known.shape]
    small = np.asarray(resize(part, size), np.float64) / 255
    nearest = Image.fromarray(known).resize((size[1], size[0]), Image.Resampling.NEAREST)
    given = np.select([np.asarray(nearest) == 0, np.asarray(nearest) == 255], [0.0, 1.0], 0.5)
    if not {0.0, 1.0} <= set(np.unique(given).tolist()):  # matting needs pixels of both kinds
        return feathered(solid, border), photo
    with redirect_stdout(io.StringIO()):  # It prints notes about its preconditioner.
        found = estimate_alpha_cf(small, given)
    front = estimate_foreground_ml(small, found)

    alpha, colours = solid.copy(), photo.copy()
    inside = undecided[box]
    alpha[box][inside] = _to_bytes(found, known.shape)[inside]
    colours[box][inside] = _to_bytes(front, known.shape)[inside]
    return alpha, colours


def _near_outline(solid: np.ndarray) -> np.ndarray:
    radius = max(1, round(BAND * min(solid.shape)))
    # The mean of a square is neither of both values where the outline crosses it.
    near = np.asarray(Image.fromarray(solid).filter(ImageFilter.BoxBlur(radius)))
    return (near > 0) & (near < 255)


def _box_around(marked: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and columns that hold all marked pixels, with a margin."""
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    top, left = (max(0, int(found[0]) - MARGIN) for found in (rows, columns))
    return (
        slice(top, int(rows[-1]) + MARGIN + 1),
        slice(left, int(columns[-1]) + MARGIN + 1),
    )


def _to_bytes(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Turns values in [0, 1] into uint8 of another size."""
    return resize(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8), size)
