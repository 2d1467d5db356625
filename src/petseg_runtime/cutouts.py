"""What a mask cuts out of its image."""

from collections.abc import Sequence

import numpy as np

from petseg_runtime.image_io import checked_pixels
from petseg_runtime.overlays import checked_background, checked_names, classes_of


def cutout(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    class_names: Sequence[str] = (),
    background: int | None = None,
) -> np.ndarray:
    """Makes the background of an image transparent.

    Args:
        image: RGB `(H, W, 3)` in [0, 255].
        mask: Integer classes `(H, W)` or `(H, W, 1)`.
        class_names: Name of each class.
        background: Index of the class to make transparent. By default the class called
            "background".

    Returns:
        uint8 RGBA `(H, W, 4)`, ready to be saved as PNG.

    Raises:
        ValueError: If the mask does not fit the image, or no class is the background.

    Example:
        >>> info = petseg.model_info(model)
        >>> pet = petseg.cutout(photo, mask, class_names=info.class_names)
    """
    background = checked_background(background, checked_names(class_names))
    if background is None:
        raise ValueError(
            "`background` must be the index of a class, or `class_names` must hold one called "
            f"'background'. Received: class_names={tuple(class_names)!r}."
        )
    photo = checked_pixels(image, "image", ranks=(3,))
    classes = classes_of(mask, photo)
    rgba = np.empty((*classes.shape, 4), np.uint8)
    rgba[..., :3] = photo if photo.dtype == np.uint8 else np.rint(photo)
    rgba[..., 3] = 255
    rgba[..., 3][classes == background] = 0
    return rgba
