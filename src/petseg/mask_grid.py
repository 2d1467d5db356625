"""Grids of images and their masks."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from petseg_runtime.image_io import shown_as_rgb
from petseg_runtime.model_info import background_of
from petseg_runtime.overlays import overlay
from petseg_runtime.palette import IGNORED, class_colours

INK = "#2b2f36"
PANEL_WIDTH, LEGEND_LINE = 2.0, 0.2  # inches
MIN_PANEL_HEIGHT = 1.0  # inches: room for a row label
POINTS_PER_INCH = 72
LABEL_SIZE, LEGEND_SIZE = 11, 9  # points
# Width of a legend entry besides its text, in units of the font size: the patch and the spaces.
LEGEND_EXTRA = 4
ROW_LABEL: dict[str, Any] = {
    "rotation": 90,
    "ha": "right",
    "va": "center",
    "multialignment": "center",
    "fontsize": LABEL_SIZE,
    "color": INK,
}


def prediction_grid(
    images: Sequence[np.ndarray] | np.ndarray,
    truth: Sequence[np.ndarray] | np.ndarray,
    predictions: Mapping[str, Sequence[np.ndarray] | np.ndarray],
    class_names: Sequence[str],
    *,
    ignore_class: int | None = None,
) -> Figure:
    """Draws a column for each image: the photo, its true mask, and the mask of each model.

    The legend has the classes, and "ignored" if a mask has the label `ignore_class`.

    Args:
        images: Images `(H, W, C)` in [0, 255].
        truth: The true mask `(H, W)` or `(H, W, 1)` of each image.
        predictions: The masks of each model, by the name to show.
        class_names: Name of each class.
        ignore_class: Label of ignored pixels, or None.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no image, or not one mask for each.
    """
    for name, masks in {"truth": truth, **predictions}.items():
        if len(masks) != len(images):
            raise ValueError(
                f"Each image needs a mask. Received: {len(masks)} masks of {name!r} for "
                f"{len(images)} images."
            )
    photos = [shown_as_rgb(np.asarray(image)) for image in images]
    rows = {"photo": photos, "truth": _overlays(images, truth, class_names, ignore_class)}
    for model, masks in predictions.items():
        rows[model] = _overlays(images, masks, class_names, ignore_class)
    ignored = any(_occurs(ignore_class, masks) for masks in (truth, *predictions.values()))
    figure = _grid(list(rows.values()), class_names, ignore_class, ignored=ignored)
    height = 0.85 * _panel_height(images[0])  # the layout makes panels smaller to fit the labels
    for axes, label in zip(figure.axes[:: len(images)], rows, strict=True):
        text = _wrapped(label, LABEL_SIZE, height)
        axes.text(-0.04, 0.5, text, transform=axes.transAxes, **ROW_LABEL)
    return figure


def sample_grid(
    dataset: Iterable[tuple[Any, Any]],
    class_names: Sequence[str],
    *,
    ignore_class: int | None = None,
    samples: int = 6,
) -> Figure:
    """Draws examples of a dataset: the image, and below it the image with its mask.

    The legend has the classes, and "ignored" if a mask has the label `ignore_class`.

    Args:
        dataset: Batches `(images, masks)`.
        class_names: Name of each class.
        ignore_class: Label of ignored pixels, or None.
        samples: Number of examples, spread evenly over the dataset.

    Returns:
        The figure.

    Raises:
        ValueError: If the dataset is empty.
    """
    images, masks = spread_examples(dataset, samples)
    photos = [shown_as_rgb(image) for image in images]
    rows = [photos, _overlays(images, masks, class_names, ignore_class)]
    return _grid(rows, class_names, ignore_class, ignored=_occurs(ignore_class, masks))


def spread_examples(
    dataset: Iterable[tuple[Any, Any]], count: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Takes examples that are spread evenly over a dataset; reads the whole dataset once.

    Args:
        dataset: Batches `(images, masks)`. Its length is taken from `len`, where it has one.
        count: Number of examples. Fewer come back from a dataset of fewer examples.

    Returns:
        The images `(H, W, 3)` and their masks.
    """
    batches = dataset if isinstance(dataset, Sized) else list(dataset)
    num_batches = len(batches)
    # Place of each example in batches: 2.5 is the middle of the third batch.
    places = [(index + 0.5) * num_batches / count for index in range(count)]
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for number, batch in enumerate(batches):
        size = len(batch[0])
        offsets = dict.fromkeys(int((p - number) * size) for p in places if int(p) == number)
        images.extend(np.asarray(batch[0][offset]) for offset in offsets)
        masks.extend(np.asarray(batch[1][offset]) for offset in offsets)
    return images, masks


def _overlays(
    images: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    class_names: Sequence[str],
    ignore_class: int | None,
) -> list[np.ndarray]:
    return [
        overlay(image, mask, class_names=class_names, ignore_class=ignore_class)
        for image, mask in zip(images, masks, strict=True)
    ]


def _occurs(label: int | None, masks: Iterable[np.ndarray]) -> bool:
    return label is not None and any(bool((np.asarray(mask) == label).any()) for mask in masks)


def _panel_height(image: np.ndarray) -> float:
    """Height in inches of a row of images like this one."""
    return max(MIN_PANEL_HEIGHT, PANEL_WIDTH * image.shape[0] / image.shape[1])


def _width(text: str, size: float) -> float:
    """Width in inches of a line of text. Text without ink, such as spaces, has width 0."""
    return float(TextPath((0, 0), text, size=size).get_extents().width) / POINTS_PER_INCH


def _wrapped(text: str, size: float, width: float) -> str:
    """Breaks text into lines of at most a width in inches, between words where possible."""
    characters = len(text)
    while characters > 1:
        lines = textwrap.wrap(text, characters)
        if all(_width(line, size) <= width for line in lines):
            return "\n".join(lines)
        characters -= 1
    return text


def _grid(
    rows: Sequence[Sequence[np.ndarray]],
    class_names: Sequence[str],
    ignore_class: int | None,
    *,
    ignored: bool,
) -> Figure:
    """Draws rows of images above a legend of the classes and, if they occur, of ignored pixels."""
    if not rows or not len(rows[0]):
        raise ValueError("A grid needs at least one image. Received: none.")
    hidden = (background_of(tuple(class_names)), ignore_class)
    width = PANEL_WIDTH * len(rows[0])
    longest = width - LEGEND_EXTRA * LEGEND_SIZE / POINTS_PER_INCH
    handles = [
        Patch(color=_hex(colour), label=_wrapped(name, LEGEND_SIZE, longest))
        for index, (name, colour) in enumerate(
            zip(class_names, class_colours(class_names), strict=True)
        )
        if index not in hidden
    ]
    if ignored:
        handles.append(
            Patch(facecolor="white", edgecolor=_hex(IGNORED), hatch="//////", label="ignored")
        )
    columns, legend_height = _legend_layout([str(handle.get_label()) for handle in handles], width)
    figure = Figure(
        figsize=(width, _panel_height(rows[0][0]) * len(rows) + legend_height),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0),
    )
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes, image in zip(grid.flat, (image for row in rows for image in row), strict=True):
        axes.imshow(np.rint(image).astype(np.uint8))
        axes.set_axis_off()
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=LEGEND_SIZE,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
    )
    return figure


def _legend_layout(labels: Sequence[str], width: float) -> tuple[int, float]:
    """Chooses as many columns as fit a width in inches.

    Returns:
        The number of columns, the last of which is about as full as the others, and the height of
        the legend in inches.
    """
    if not labels:
        return 1, 0.0
    widest = max(_width(line, LEGEND_SIZE) for label in labels for line in label.splitlines())
    entry = widest + LEGEND_EXTRA * LEGEND_SIZE / POINTS_PER_INCH
    lines = -(-len(labels) // max(1, int(width / entry)))
    text_lines = max(label.count("\n") + 1 for label in labels)
    return -(-len(labels) // lines), LEGEND_LINE * (lines * text_lines + 1)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
