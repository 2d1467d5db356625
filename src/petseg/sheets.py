"""Sheets of images and their masks, side by side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from petseg_runtime.pictures import COLOURS, overlay

INK = "#2b2f36"
PANEL_WIDTH, LEGEND_HEIGHT = 2.0, 0.28  # inches
SAMPLES = 6
ROW_LABEL: dict[str, Any] = {
    "rotation": 90,
    "ha": "right",
    "va": "center",
    "fontsize": 11,
    "color": INK,
}


def prediction_sheet(
    images: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    predictions: Mapping[str, Sequence[np.ndarray] | np.ndarray],
    class_names: Sequence[str],
    *,
    transparent: int | None = 1,
) -> Figure:
    """Draws a column an image: the photo, its true mask, and the mask of each model.

    `predictions` holds each model's masks by the name to show. Images and masks are as in
    `petseg.overlay`, which also says what `transparent` is.

    Raises `ValueError` when there is no image, or not one mask for each.
    """
    for name, masks in {"truth": truth, **predictions}.items():
        if len(masks) != len(images):
            raise ValueError(
                f"Each image needs a mask. Received: {len(masks)} masks of {name!r} for "
                f"{len(images)} images."
            )
    rows = {"photo": list(images), "truth": _overlays(images, truth, transparent)}
    for model, masks in predictions.items():
        rows[model] = _overlays(images, masks, transparent)
    figure = _sheet(list(rows.values()), class_names, transparent)
    for axes, label in zip(figure.axes[:: len(images)], rows, strict=True):
        axes.text(-0.04, 0.5, label, transform=axes.transAxes, **ROW_LABEL)
    return figure


def sample_sheet(
    dataset: Iterable[tuple[Any, Any]],
    class_names: Sequence[str],
    *,
    transparent: int | None = 1,
) -> Figure:
    """Draws the first images of a batched dataset, each above itself with its mask laid over.

    Raises `ValueError` when the dataset is empty.
    """
    images, masks = next(iter(dataset), ((), ()))
    images, masks = np.asarray(images)[:SAMPLES], np.asarray(masks)[:SAMPLES]
    return _sheet([list(images), _overlays(images, masks, transparent)], class_names, transparent)


def _overlays(
    images: Iterable[np.ndarray], masks: Iterable[np.ndarray], transparent: int | None
) -> list[np.ndarray]:
    return [
        overlay(image, mask, transparent=transparent)
        for image, mask in zip(images, masks, strict=True)
    ]


def _sheet(
    rows: Sequence[Sequence[np.ndarray]], class_names: Sequence[str], transparent: int | None
) -> Figure:
    """A grid of images over a legend of the classes."""
    if not len(rows) or not len(rows[0]):
        raise ValueError("A sheet needs at least one image. Received: none.")
    height, width = rows[0][0].shape[:2]
    panel_height = PANEL_WIDTH * height / width
    figure = Figure(
        figsize=(PANEL_WIDTH * len(rows[0]), panel_height * len(rows) + LEGEND_HEIGHT),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0),
    )
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes, image in zip(grid.flat, (image for row in rows for image in row), strict=True):
        axes.imshow(np.rint(image).astype(np.uint8))
        axes.set_axis_off()
    figure.legend(
        handles=[
            Patch(color="#{:02x}{:02x}{:02x}".format(*COLOURS[index % len(COLOURS)]), label=name)
            for index, name in enumerate(class_names)
            if index != transparent
        ],
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
    )
    return figure
