"""Photos with their masks laid over them, and what a mask cuts out."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from petseg_runtime.images import checked_pixels

# One colour a class, after Okabe and Ito: people with any colour blindness can tell them apart.
# Further classes start again from the first.
COLOURS = (
    (240, 130, 30),  # orange: pet
    (96, 108, 128),  # slate: background
    (86, 190, 240),  # sky blue: border
    (0, 158, 115),  # green
    (204, 121, 167),  # pink
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 60, 40),  # vermilion
)


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    opacity: float = 0.5,
    transparent: int | None = 1,
    contour: bool = True,
    colours: Sequence[tuple[int, int, int]] = COLOURS,
    legend: Sequence[str] = (),
) -> np.ndarray:
    """Lays the class colours of a mask over its image, each region with a thin outline.

    Takes RGB `(H, W, 3)` in [0, 255] and integer classes `(H, W)` or `(H, W, 1)`; returns uint8 RGB
    `(H, W, 3)`. `opacity` runs from 0, outlines alone, to 1; `contour` says whether there are
    outlines. The class `transparent` shows the bare image: by default 1, the background of the pet
    classes; `None` colours every class. `colours` are RGB in [0, 255], one a class, from the first
    again where there are more classes. `legend` names the classes in the lower left corner.

    Raises `ValueError` when the mask does not fit the image, or `opacity` is not in [0, 1].
    """
    photo = checked_pixels(image, "image", ranks=(3,)).astype(np.float32)
    classes = _classes_of(mask, photo)
    if not 0 <= opacity <= 1:
        raise ValueError(f"`opacity` must lie in [0, 1]. Received: {opacity}.")
    palette = np.array(colours, np.float32)
    if palette.ndim != 2 or palette.shape[1] != 3:
        raise ValueError(f"`colours` must be RGB triples. Received: {colours!r}.")
    weight = np.full(classes.shape, opacity, np.float32)
    if contour:
        thickness = max(1, round(min(classes.shape) / 250))
        weight[boundary_pixels(classes[np.newaxis], reach=thickness)[0]] = 1
    weight *= classes != transparent
    blend = photo + (palette[classes % len(palette)] - photo) * weight[..., np.newaxis]
    pixels = np.rint(blend).astype(np.uint8)
    if not legend:
        return pixels
    entries = [
        (name, tuple(map(int, palette[index % len(palette)])))
        for index, name in enumerate(legend)
        if index != transparent
    ]
    return _with_legend(pixels, entries)


def cutout(image: np.ndarray, mask: np.ndarray, *, transparent: int = 1) -> np.ndarray:
    """What is not of the class `transparent`, on a transparent ground.

    Takes an image and its mask as `overlay` does; returns uint8 RGBA `(H, W, 4)`, ready to save as
    PNG. Raises `ValueError` when the mask does not fit the image.
    """
    photo = np.rint(checked_pixels(image, "image", ranks=(3,))).astype(np.uint8)
    alpha = np.where(_classes_of(mask, photo) == transparent, 0, 255).astype(np.uint8)
    return np.dstack([photo, alpha])


def boundary_pixels(
    masks: np.ndarray, *, ignored: np.ndarray | None = None, reach: int = 1
) -> np.ndarray:
    """Marks each pixel that has another class `reach` pixels above, below, left or right of it.

    `masks`, `ignored` and the result are `(N, H, W)`. Neither the rim of the image nor that of the
    ignored pixels is a boundary.
    """
    boundary = np.zeros(masks.shape, bool)
    for axis in (1, 2):
        # Views with the axis last, so that a pixel and its neighbour are slices of one index.
        labels, marks = np.moveaxis(masks, axis, -1), np.moveaxis(boundary, axis, -1)
        differ = labels[..., :-reach] != labels[..., reach:]
        if ignored is not None:
            void = np.moveaxis(ignored, axis, -1)
            differ &= ~(void[..., :-reach] | void[..., reach:])
        marks[..., :-reach] |= differ
        marks[..., reach:] |= differ
    return boundary


def _classes_of(mask: np.ndarray, photo: np.ndarray) -> np.ndarray:
    classes = np.asarray(mask)
    if classes.shape == (*photo.shape[:2], 1):
        classes = classes[..., 0]
    if classes.shape != photo.shape[:2] or classes.dtype.kind not in "ui":
        raise ValueError(
            f"`mask` must hold integer classes of shape {photo.shape[:2]}, that of `image`. "
            f"Received: {classes.dtype} of shape {classes.shape}."
        )
    return classes


def _with_legend(pixels: np.ndarray, entries: Sequence[tuple[str, tuple[int, ...]]]) -> np.ndarray:
    """The image with a line for each class in its lower left corner, as large as it bears."""
    if not entries:
        return pixels
    picture = Image.fromarray(pixels)
    fitting = int(picture.height / (1.4 * len(entries) + 1.8))
    size = max(6, min(round(min(picture.size) / 24), fitting))
    font = ImageFont.load_default(size)
    line, rim = round(1.4 * size), round(0.6 * size)
    width = max(round(font.getlength(name)) for name, _ in entries) + 2 * rim + line
    height = line * len(entries) + rim
    left, top = rim, picture.height - height - rim
    panel = Image.new("L", picture.size, 0)
    box = (left, top, left + width, top + height)
    ImageDraw.Draw(panel).rounded_rectangle(box, radius=rim // 2, fill=215)
    picture.paste((255, 255, 255), mask=panel)
    draw = ImageDraw.Draw(picture)
    for row, (name, colour) in enumerate(entries):
        y = top + rim // 2 + row * line + line // 2
        x = left + rim
        draw.rectangle((x, y - size // 3, x + 2 * size // 3, y + size // 3), fill=colour)
        draw.text((x + line, y), name, font=font, fill=(43, 47, 54), anchor="lm")
    return np.asarray(picture)
