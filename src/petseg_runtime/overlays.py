"""An image with the mask laid over it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from petseg_runtime import validation
from petseg_runtime.image_io import checked_pixels, shown_as_rgb
from petseg_runtime.model_info import background_of
from petseg_runtime.palette import IGNORED, PALETTE, class_colours

# Images are coloured in strips of rows of about this number of pixels, which bounds the memory.
STRIP_PIXELS = 2**20


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    class_names: Sequence[str] = (),
    background: int | None = None,
    ignore_class: int | None = None,
    opacity: float = 0.5,
    contour: bool = True,
    colours: Sequence[tuple[int, int, int]] | None = None,
    legend: bool = False,
) -> np.ndarray:
    """Lays the class colours of a mask over its image.

    Args:
        image: RGB `(H, W, 3)` in [0, 255]. Of more channels, the first three are shown; of one or
            two, the first one as grey.
        mask: Integer classes `(H, W)` or `(H, W, 1)`.
        class_names: Name of each class. They give the colours and the legend.
        background: Index of the class that shows the bare image. By default the class called
            "background"; where there is none, every class is coloured.
        ignore_class: Label of ignored pixels, which are hatched in grey, or None.
        opacity: Opacity of the colours, from 0 (contours alone) to 1.
        contour: Whether each region has a thin outline.
        colours: RGB in [0, 255] for each class. By default those of
            `petseg_runtime.palette.class_colours`.
        legend: Whether the class names stand in the lower left corner.

    Returns:
        uint8 RGB `(H, W, 3)`.

    Raises:
        ValueError: If the mask does not fit the image, or an argument is out of its range.

    Example:
        >>> info = petseg.model_info(model)
        >>> picture = petseg.overlay(photo, mask, class_names=info.class_names, legend=True)
    """
    photo = shown_as_rgb(checked_pixels(image, "image", (3,), channels=None))
    classes = classes_of(mask, photo)
    opacity = validation.fraction("opacity", opacity, closed=True)
    names = checked_names(class_names)
    background = checked_background(background, names)
    contour = validation.boolean("contour", contour)
    if validation.boolean("legend", legend) and not names:
        raise ValueError("`legend` shows `class_names`. Received: none. Pass the names as well.")
    strips = _strips(classes.shape)
    greatest = max(_greatest(classes[rows], ignore_class) for rows in strips)
    if names and greatest >= len(names):
        raise ValueError(
            f"`mask` must hold classes below {len(names)}, the number of `class_names`"
            f"{'' if ignore_class is None else f', or the ignored {ignore_class}'}. "
            f"Received: {greatest}."
        )
    if colours is None:
        colours = class_colours(names) if names else PALETTE
    palette = _palette(colours)
    thickness = max(1, round(min(classes.shape) / 250)) if contour else 0
    pixels = np.empty(photo.shape, np.uint8)
    for rows in strips:
        colour = palette[classes[rows] % len(palette)]
        weight = np.full(colour.shape[:2], opacity, np.float32)
        weight[_contours(classes, rows, thickness)] = 1
        if background is not None:
            weight[classes[rows] == background] = 0
        if ignore_class is not None:
            ignored = classes[rows] == ignore_class
            colour[ignored] = IGNORED
            weight[ignored] = 0.85 * _hatch(classes.shape, rows)[ignored]
        bare = photo[rows].astype(np.float32)
        pixels[rows] = np.rint(bare + (colour - bare) * weight[..., np.newaxis])
    if not legend:
        return pixels
    entries = [
        (name, tuple(map(int, palette[index % len(palette)])))
        for index, name in enumerate(names)
        if index != background
    ]
    return _with_legend(pixels, entries)


def checked_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Checks the class names of a picture.

    Args:
        class_names: What was received.

    Returns:
        The names, none or one for each class.

    Raises:
        ValueError: If `class_names` is not a sequence of strings.
    """
    names = () if isinstance(class_names, str) else tuple(class_names)
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`class_names` must be a list of names. Received: {class_names!r}.")
    return names


def checked_background(background: int | None, names: tuple[str, ...]) -> int | None:
    """Checks the index of the background, or finds it by its name.

    Args:
        background: What was received.
        names: Name of each class, or none.

    Returns:
        The index, or None where there is no background.

    Raises:
        ValueError: If `background` is not the index of a class.
    """
    if background is None:
        return background_of(names)
    if not validation.is_integer(background) or not 0 <= background < (len(names) or np.inf):
        limit = f"below {len(names)}" if names else "of 0 or more"
        raise ValueError(f"`background` must be a class index {limit}. Received: {background!r}.")
    return int(background)


def _palette(colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Checks colours and returns them as float32 `(number, 3)`."""
    try:
        palette = np.array(colours, np.float32)
    except (TypeError, ValueError):
        palette = np.empty(0, np.float32)
    if palette.ndim != 2 or palette.shape[1] != 3 or not ((palette >= 0) & (palette <= 255)).all():
        raise ValueError(f"`colours` must be RGB triples in [0, 255]. Received: {colours!r}.")
    return palette


def boundary_pixels(
    masks: np.ndarray, *, ignored: np.ndarray | None = None, reach: int = 1
) -> np.ndarray:
    """Marks each pixel that has another class `reach` pixels above, below, left or right of it.

    Neither the edge of the image nor that of the ignored pixels is a boundary.

    Args:
        masks: Integer classes `(N, H, W)`.
        ignored: Pixels to leave out, boolean `(N, H, W)`, or None.
        reach: Distance in pixels.

    Returns:
        Boolean `(N, H, W)`.
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


def _strips(shape: tuple[int, ...]) -> list[slice]:
    """Divides the rows of `(H, W)` into strips of about `STRIP_PIXELS`."""
    step = max(1, STRIP_PIXELS // shape[1])
    return [slice(top, min(top + step, shape[0])) for top in range(0, shape[0], step)]


def _greatest(classes: np.ndarray, ignore_class: int | None) -> int:
    counted = classes if ignore_class is None else classes[classes != ignore_class]
    return int(counted.max(initial=0))


def _contours(classes: np.ndarray, rows: slice, thickness: int) -> np.ndarray:
    """Marks the outlines of the regions in some rows of `(H, W)`; none where thickness is 0."""
    if not thickness:
        return np.zeros(classes[rows].shape, bool)
    top, bottom = max(0, rows.start - thickness), rows.stop + thickness
    marks = boundary_pixels(classes[np.newaxis, top:bottom], reach=thickness)[0]
    return marks[rows.start - top :][: rows.stop - rows.start]


def _hatch(shape: tuple[int, ...], rows: slice) -> np.ndarray:
    """Draws diagonal lines over some rows of `(H, W)`: 1 on a line, 0.3 between."""
    period = max(6, round(min(shape) / 30))
    diagonal = np.add.outer(np.arange(rows.start, rows.stop), np.arange(shape[1])) % period
    return np.where(diagonal < period / 3, 1.0, 0.3).astype(np.float32)


def classes_of(mask: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Checks a mask against its image.

    Args:
        mask: Integer classes `(H, W)` or `(H, W, 1)`.
        photo: The image `(H, W, 3)`.

    Returns:
        The classes `(H, W)`.

    Raises:
        ValueError: If the mask does not fit the image.
    """
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
    """Draws a line for each class into the lower left corner, in a size that fits the image."""
    if not entries:
        return pixels
    height, width = pixels.shape[:2]
    fitting = int(height / (1.4 * len(entries) + 1.8))
    size = max(6, min(round(min(height, width) / 24), fitting))
    font = ImageFont.load_default(size)
    line, rim = round(1.4 * size), round(0.6 * size)
    box_width = max(round(font.getlength(name)) for name, _ in entries) + 2 * rim + line
    box_height = line * len(entries) + rim
    # Only the corner becomes a Pillow image. Letters may reach over the edge of the panel.
    corner = pixels[max(0, height - box_height - rim - size) :, : rim + box_width + 2 * size]
    picture = Image.fromarray(corner)
    left, top = rim, picture.height - box_height - rim
    panel = Image.new("L", picture.size, 0)
    box = (left, top, left + box_width, top + box_height)
    ImageDraw.Draw(panel).rounded_rectangle(box, radius=rim // 2, fill=215)
    picture.paste((255, 255, 255), mask=panel)
    draw = ImageDraw.Draw(picture)
    for row, (name, colour) in enumerate(entries):
        y = top + rim // 2 + row * line + line // 2
        x = left + rim
        draw.rectangle((x, y - size // 3, x + 2 * size // 3, y + size // 3), fill=colour)
        draw.text((x + line, y), name, font=font, fill=(43, 47, 54), anchor="lm")
    corner[:] = np.asarray(picture)
    return pixels
