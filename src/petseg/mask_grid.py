"""Grids of images and their masks."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from petseg_runtime.model_info import background_of
from petseg_runtime.overlays import overlay
from petseg_runtime.palette import class_colours

INK = "#2b2f36"
PANEL_WIDTH, LEGEND_LINE = 2.0, 0.28  # inches
LEGEND_COLUMNS = 6
ROW_LABEL: dict[str, Any] = {
    "rotation": 90,
    "ha": "right",
    "va": "center",
    "fontsize": 11,
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

    Args:
        images: RGB images `(H, W, 3)` in [0, 255].
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
    rows = {"photo": list(images), "truth": _overlays(images, truth, class_names, ignore_class)}
    for model, masks in predictions.items():
        rows[model] = _overlays(images, masks, class_names, ignore_class)
    figure = _grid(list(rows.values()), class_names)
    for axes, label in zip(figure.axes[:: len(images)], rows, strict=True):
        axes.text(-0.04, 0.5, label, transform=axes.transAxes, **ROW_LABEL)
    return figure


def sample_grid(
    dataset: Iterable[tuple[Any, Any]],
    class_names: Sequence[str],
    *,
    ignore_class: int | None = None,
    samples: int = 6,
) -> Figure:
    """Draws examples of a dataset, each above a copy with its mask laid over.

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
    return _grid([images, _overlays(images, masks, class_names, ignore_class)], class_names)


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


def _grid(rows: Sequence[Sequence[np.ndarray]], class_names: Sequence[str]) -> Figure:
    """Draws rows of images above a legend of the classes."""
    if not rows or not len(rows[0]):
        raise ValueError("A grid needs at least one image. Received: none.")
    background = background_of(tuple(class_names))
    handles = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*colour), label=name)
        for index, (name, colour) in enumerate(
            zip(class_names, class_colours(class_names), strict=True)
        )
        if index != background
    ]
    height, width = rows[0][0].shape[:2]
    panel_height = PANEL_WIDTH * height / width
    columns = min(LEGEND_COLUMNS, max(1, len(rows[0])))
    legend_height = LEGEND_LINE * -(-len(handles) // columns)
    figure = Figure(
        figsize=(PANEL_WIDTH * len(rows[0]), panel_height * len(rows) + legend_height),
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
        fontsize=9,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
    )
    return figure
