"""Settings of random augmentation: what is done to training batches, and how often.

`LIGHT` is crops, flips and colour. `STRONG` also makes scenes with small, several and partly hidden
objects out of the images of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from petseg_runtime import validation


@dataclass(frozen=True)
class Augmentation:
    """What is done to training batches.

    Every image gets a random crop of half to all of its area, with an aspect ratio of 3/4 to 4/3
    times its own, a horizontal flip with probability 1/2, and a change of its colour. Whether a
    batch becomes mosaics, or gets objects pasted, is drawn for the batch as a whole.

    Attributes:
        brightness: Largest offset, as a share of 255.
        contrast: Least and greatest factor around mid-grey.
        saturation: Least and greatest factor.
        mosaic: Probability that a batch becomes mosaics of 2x2 or 3x3 of its images.
        paste: Probability that objects of other images of the batch are pasted: all that is not
            background, one to six times, smaller. Needs a class named "background": the loaders
            raise `ValueError` without one.
        occlusion: Probability that an image gets a box of one colour, labelled as background.
            Needs such a class too.
        elastic: Largest displacement of labels, in pixels. The image stays as it is.
        blur: Probability that a batch is blurred.
        noise: Probability that a batch gets noise.
        hue: Largest shift, as a share of the circle of colours. For RGB images only.
        rotation: Largest angle in degrees, 0 to 180. Images and masks are reflected at their edges.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> augment = petseg.data.Augmentation(paste=0.3, occlusion=0.15)
        >>> pets = petseg.load_pets(augment=augment)
    """

    brightness: float = 0.1
    contrast: tuple[float, float] = (0.8, 1.2)
    saturation: tuple[float, float] = (0.7, 1.3)
    mosaic: float = 0.0
    paste: float = 0.0
    occlusion: float = 0.0
    elastic: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    hue: float = 0.0
    rotation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "mosaic", "paste", "occlusion", "blur", "noise", "hue"):
            value = validation.fraction(name, getattr(self, name), closed=True)
            object.__setattr__(self, name, value)
        for name in ("contrast", "saturation"):
            object.__setattr__(self, name, _factors(name, getattr(self, name)))
        if not validation.is_number(self.elastic) or self.elastic < 0:
            raise ValueError(
                f"`elastic` must be a number of pixels of 0 or more. Received: {self.elastic!r}."
            )
        object.__setattr__(self, "elastic", float(self.elastic))
        if not validation.is_number(self.rotation) or not 0 <= self.rotation <= 180:
            raise ValueError(
                f"`rotation` must be an angle in degrees, 0 to 180. Received: {self.rotation!r}."
            )
        object.__setattr__(self, "rotation", float(self.rotation))
        if self.mosaic + self.paste > 1:
            raise ValueError(
                "`mosaic` and `paste` must add up to at most 1: a batch becomes one or the other. "
                f"Received: {self.mosaic} and {self.paste}."
            )


def _factors(name: str, value: Any) -> tuple[float, float]:
    """Checks the least and the greatest factor."""
    factors = tuple(value) if isinstance(value, list | tuple | np.ndarray) else ()
    are_numbers = len(factors) == 2 and all(map(validation.is_number, factors))
    if not are_numbers or not 0 <= factors[0] <= factors[1]:
        raise ValueError(
            f"`{name}` must be two numbers of 0 or more, the least and the greatest factor. "
            f"Received: {value!r}."
        )
    return float(factors[0]), float(factors[1])


# What the loaders take as `augment`.
Augment = bool | str | Augmentation | Callable[..., Any]

LIGHT = Augmentation()
STRONG = Augmentation(
    brightness=0.2,
    contrast=(0.6, 1.3),
    saturation=(0.4, 1.5),
    mosaic=0.25,
    paste=0.3,
    occlusion=0.15,
    blur=0.1,
    noise=0.1,
)
AUGMENTATIONS = {"light": LIGHT, "strong": STRONG}


def find_augmentation(value: Any) -> Augmentation | Callable[..., Any] | None:
    """Checks the argument `augment` of the loaders.

    Args:
        value: True, False, a key of `AUGMENTATIONS`, an `Augmentation`, a function of batches, or
            preprocessing layers of Keras.

    Returns:
        The augmentation, or None for none.

    Raises:
        ValueError: If `value` is something else.
    """
    if isinstance(value, str) and value in AUGMENTATIONS:
        return AUGMENTATIONS[value]
    if isinstance(value, bool | np.bool_):
        return LIGHT if value else None
    if isinstance(value, Augmentation) or (callable(value) and not isinstance(value, type)):
        return value
    near = validation.did_you_mean(value, AUGMENTATIONS) if isinstance(value, str) else ""
    raise ValueError(
        "`augment` must be True, False, 'light', 'strong', a `petseg.data.Augmentation`, a "
        "function of images and masks, or preprocessing layers of Keras. "
        f"Received: {value!r}.{near}"
    )
