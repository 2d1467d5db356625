"""The figures that compare the rows of the accuracy benchmark.

    python -m benchmarks.accuracy.benchmark_figures --out docs/results/comparison

Draws the class scores, accuracy against latency, and the confusion matrix of the best row, all
from the records in `docs/results`. The text can be read where a figure is as wide as a phone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import petseg
from benchmarks.accuracy.result_rows import (
    ResultRow,
    best_of_each_architecture,
    result_rows,
    row_labels,
)
from benchmarks.common import RESULTS, argument_parser
from petseg.mask_grid import INK
from petseg.plots import GREY, RULE
from petseg_runtime.atomic_files import whole_file
from petseg_runtime.palette import PALETTE, class_colours

WIDTH = 4.6  # inches; a phone shows them on 340 to 400 pixels
DPI = 200
FONT_SIZE = 10.5  # points: at least 10 pixels on a phone
SMALL_FONT_SIZE = 9.5
SIZE_MARKERS = {128: "o", 192: "D", 224: "s", 320: "^"}
WHITE_TEXT_FROM = 60  # percent
YELLOW = (240, 228, 66)
LINE_COLOURS = tuple(colour for colour in PALETTE if colour != YELLOW)  # faint on white


def class_bars(scores: Mapping[str, petseg.Evaluation]) -> Figure:
    """Draws the IoU of each class, a group of bars for each model.

    Args:
        scores: The scores by the name to show, best first.

    Returns:
        The figure.
    """
    figure, axes = _axes(0.9 + 0.55 * len(scores), "IoU of each class on the test split")
    class_names = next(iter(scores.values())).class_names
    height = 0.8 / len(class_names)
    places = np.arange(len(scores))[::-1]
    for index, (name, colour) in enumerate(
        zip(class_names, class_colours(class_names), strict=True)
    ):
        values = [score.class_iou[name] for score in scores.values()]
        offset = height * ((len(class_names) - 1) / 2 - index)
        axes.barh(places + offset, values, 0.92 * height, color=np.divide(colour, 255), label=name)
    axes.set_yticks(places, list(scores))
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, len(scores) - 0.5)
    axes.grid(axis="x", color=RULE)
    _label(axes, "IoU", "architecture and image size")
    _legend(figure, axes, columns=len(class_names))
    return figure


def accuracy_against_latency(
    rows: Sequence[ResultRow], milliseconds: Mapping[str, float]
) -> Figure:
    """Draws mean IoU over the time for one photo: a line for each architecture and backbone.

    Args:
        rows: The rows.
        milliseconds: Time for one photo by the name of the row.

    Returns:
        The figure.
    """
    figure, axes = _axes(4.8, "Accuracy and speed")
    pairs = list(dict.fromkeys((row.architecture, row.backbone) for row in rows))
    architectures = [architecture for architecture, _ in pairs]
    for index, (architecture, backbone) in enumerate(pairs):
        several = architectures.count(architecture) > 1
        colour = np.divide(LINE_COLOURS[index], 255)
        points = sorted(
            (row.image_size[0], milliseconds[row.name], row.test["mean_iou"])
            for row in rows
            if (row.architecture, row.backbone) == (architecture, backbone)
        )
        _, x, y = zip(*points, strict=True)
        label = f"{architecture} {backbone}" if several else architecture
        axes.plot(x, y, color=colour, linewidth=1.4, label=label)
        for size, time, mean_iou in points:
            axes.plot(time, mean_iou, SIZE_MARKERS.get(size, "o"), color=colour, markersize=6)
    for size in sorted({row.image_size[0] for row in rows}):
        label = f"{size} x {size}"
        axes.plot([], [], SIZE_MARKERS.get(size, "o"), color=INK, markersize=6, label=label)
    axes.grid(color=RULE)
    axes.margins(0.08, 0.1)
    _label(axes, "time for one photo (ms)", "mean IoU on the test split")
    _legend(figure, axes, columns=2)
    return figure


def confusion_matrix(score: petseg.Evaluation, title: str) -> Figure:
    """Draws which classes the pixels of each true class were predicted as, in percent.

    Args:
        score: The scores.
        title: Title of the figure.

    Returns:
        The figure.
    """
    figure, axes = _axes(4.2, title)
    shares = 100 * score.confusion / score.confusion.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=100)
    for (true, predicted), share in np.ndenumerate(shares):
        axes.text(
            predicted,
            true,
            f"{share:.1f} %",
            ha="center",
            va="center",
            fontsize=FONT_SIZE + 1,
            color="white" if share > WHITE_TEXT_FROM else INK,
        )
    places = range(len(score.class_names))
    axes.set_xticks(places, score.class_names)
    axes.set_yticks(places, score.class_names, rotation=90, va="center")
    _label(axes, "predicted class", "true class")
    return figure


def draw_figures(rows: Sequence[ResultRow], milliseconds: Mapping[str, float], out: Path) -> None:
    """Writes the figures as `classes.jpg`, `latency.jpg` and `confusion.jpg`.

    Args:
        rows: The rows, best first. `latency.jpg` shows those on EfficientNet-Lite, if there
            are some.
        milliseconds: Time for one photo by the name of the row.
        out: Folder to write to.
    """
    best = best_of_each_architecture(rows)
    lite = [row for row in rows if row.backbone.startswith("efficientnetlite")]
    labels = row_labels(rows)
    figures = {
        "classes": class_bars({labels[row.name]: row.evaluation for row in best}),
        "latency": accuracy_against_latency(lite or rows, milliseconds),
        "confusion": confusion_matrix(
            rows[0].evaluation, f"Confusion matrix of {labels[rows[0].name]}"
        ),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        with whole_file(out / f"{name}.jpg") as part:
            figure.savefig(part, dpi=DPI, pil_kwargs={"quality": 88, "optimize": True})


def _axes(height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=FONT_SIZE + 1, color=INK)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL_FONT_SIZE, colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    return figure, axes


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=FONT_SIZE, color=INK)
    axes.set_ylabel(y, fontsize=FONT_SIZE, color=INK)


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=SMALL_FONT_SIZE,
        labelcolor=INK,
    )


def main() -> None:
    """Draws the figures from the records in `docs/results`."""
    args = argument_parser(__doc__, seed=False).parse_args()
    latency = RESULTS / "comparison" / "latency.json"
    draw_figures(result_rows(), json.loads(latency.read_text(encoding="utf-8")), args.out)


if __name__ == "__main__":
    main()
