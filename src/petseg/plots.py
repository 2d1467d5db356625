"""Learning curves.

Figures are made without pyplot: they need no display and leave no state behind.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from petseg.mask_grid import INK

GREY, RULE = "#8a919c", "#e4e7eb"
TRAINING, VALIDATION = GREY, "#d9690f"
CURVES = {"loss": "Loss", "pixel_accuracy": "Pixel accuracy", "mean_iou": "Mean IoU"}


def plot_history(
    history: keras.callbacks.History | Mapping[str, Sequence[Any]] | str | os.PathLike[str],
) -> Figure:
    """Draws loss, pixel accuracy and mean IoU by epoch, for training and validation.

    Where the history's "stage" changes from "frozen" to "thawed", a line marks the start of
    fine-tuning. Curves that the history does not have are left out.

    Args:
        history: What `petseg.finetune` or `model.fit` returned, its dict, or the path of a
            `history.csv`.

    Returns:
        The figure. `figure.savefig("curves.png")` writes it.

    Raises:
        ValueError: If the history holds none of the curves.
        TypeError: If `history` is none of these.
        FileNotFoundError: If there is no such file.

    Example:
        >>> history = petseg.finetune(model, pets.train, pets.val)
        >>> petseg.plot_history(history).savefig("curves.png", dpi=150)
    """
    records = _history_records(history)
    curves = {name: title for name, title in CURVES.items() if len(records.get(name, ()))}
    if not curves:
        raise ValueError(
            f"`history` must hold at least one epoch of {', '.join(CURVES)}. "
            f"Received: {', '.join(records) or 'nothing'}."
        )
    figure = Figure(figsize=(3.6 * len(curves), 3.0), layout=ConstrainedLayoutEngine(wspace=0.07))
    for axes, (name, title) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        _plot_curve(axes, records[name], TRAINING, "training")
        if f"val_{name}" in records:
            _plot_curve(axes, records[f"val_{name}"], VALIDATION, "validation")
        _mark_fine_tuning(axes, records.get("stage", ()))
        _style_curves(axes, title)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK
    )
    return figure


def _history_records(history: Any) -> Mapping[str, Sequence[Any]]:
    if isinstance(history, keras.callbacks.History):
        return history.history
    if isinstance(history, Mapping):
        return history
    if not isinstance(history, str | os.PathLike):
        raise TypeError(
            f"`history` must be a History, a dict or the path of a CSV file. Received: {history!r}."
        )
    path = Path(history)
    try:
        return _read_records(path)
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is not the `history.csv` of a training run, or it is damaged: {error}."
        ) from error


def _read_records(path: Path) -> Mapping[str, Sequence[Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = list(csv.reader(file)) or [[]]
    if any(len(row) != len(names) for row in rows):
        raise ValueError("its rows are not of the same length")
    # Only the curves: the logs of other callbacks may be text.
    numbers = {*CURVES, *(f"val_{name}" for name in CURVES)}
    records: dict[str, Sequence[Any]] = {
        name: [float(value or "nan") if name in numbers else value for value in values]
        for name, *values in zip(names, *rows, strict=True)
    }
    if not rows or not records.keys() & set(CURVES):
        raise ValueError(f"it has no epoch of {', '.join(CURVES)}")
    return records


def _plot_curve(axes: Axes, values: Sequence[float], colour: str, label: str) -> None:
    epochs = range(1, len(values) + 1)
    axes.plot(epochs, values, color=colour, linewidth=1.8, label=label, solid_capstyle="round")
    axes.plot(epochs[-1], values[-1], "o", color=colour, markersize=4)


def _mark_fine_tuning(axes: Axes, stages: Sequence[str]) -> None:
    if "frozen" not in stages or "thawed" not in stages:
        return
    start = list(stages).index("thawed") + 0.5  # Between the last frozen epoch and the next.
    axes.axvline(start, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        "fine-tuning",
        (start, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=GREY,
    )


def _style_curves(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel("epoch", fontsize=8.5, color=GREY)
    axes.tick_params(labelsize=8.5, colors=GREY, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.14)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
