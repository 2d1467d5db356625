"""`Evaluation`: the scores of a segmentation, derived from one confusion matrix."""

import html
import json
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from petseg_runtime import validation
from petseg_runtime.atomic_files import whole_file
from petseg_runtime.json_text import parse_json


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a segmentation, as `petseg.evaluate` returns them.

    `print(scores)` and notebooks show a table. The IoU of a class that occurs neither in the true
    nor in the predicted masks is NaN. Means over classes exclude such classes.

    Attributes:
        class_names: Name of each class.
        confusion: Pixels by true class (row) and predicted class (column), int64 `(C, C)`.
        loss: Mean cross-entropy of a pixel.
        boundary_f1: Boundary F1 score, averaged over images. NaN where no mask has a boundary.
        examples: Number of images.
        ignore_class: Label of the pixels that were left out, or None. A class with this index has
            no IoU.
        calibration_error: Expected calibration error: the difference between the probability of
            the predicted class and the share of pixels where it is right, averaged over pixels in
            15 bins of that probability (Guo et al., "On Calibration of Modern Neural Networks",
            2017, section 2). NaN where it was not measured.

    Example:
        >>> scores = petseg.evaluate(model, pets.test)
        >>> scores.mean_iou, scores.class_iou["pet"]
        >>> scores.to_json("scores.json")
    """

    class_names: tuple[str, ...]
    confusion: np.ndarray
    loss: float
    boundary_f1: float
    examples: int
    ignore_class: int | None = None
    calibration_error: float = math.nan

    @property
    def pixel_accuracy(self) -> float:
        """Fraction of pixels whose predicted class is the true one."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def class_iou(self) -> dict[str, float]:
        """Intersection over union by class name. NaN for a class that does not occur."""
        right, true, predicted = self._pixels
        iou = right / (true + predicted - right)
        return dict(zip(self.class_names, iou.tolist(), strict=True))

    @property
    def mean_iou(self) -> float:
        """Intersection over union, averaged over classes."""
        return float(np.nanmean(list(self.class_iou.values())))

    @property
    def frequency_weighted_iou(self) -> float:
        """Intersection over union, averaged over classes with their true pixels as weights."""
        _, true, _ = self._pixels
        return float(np.nansum(true * list(self.class_iou.values())) / np.nansum(true))

    @property
    def dice(self) -> float:
        """Dice coefficient, 2 TP / (2 TP + FP + FN), averaged over classes."""
        right, true, predicted = self._pixels
        return float(np.nanmean(2 * right / (true + predicted)))

    @cached_property
    def _pixels(self) -> np.ndarray:
        """Correct, true and predicted pixels by class, `(3, C)`. NaN where it has no IoU."""
        true, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        pixels = np.stack([np.diag(self.confusion), true, predicted])
        is_scored = np.arange(len(self.class_names)) != self.ignore_class
        return np.where((true + predicted > 0) & is_scored, pixels, np.nan)

    @property
    def _caption(self) -> str:
        return f"{self.examples:,} {'example' if self.examples == 1 else 'examples'}"

    @property
    def labelled_scores(self) -> dict[str, float]:
        """Every score by its heading in tables: the means, and one IoU for each class."""
        return {
            "mean IoU": self.mean_iou,
            **{f"{name} IoU": iou for name, iou in self.class_iou.items()},
            "weighted IoU": self.frequency_weighted_iou,
            "Dice": self.dice,
            "boundary F1": self.boundary_f1,
            "pixel accuracy": self.pixel_accuracy,
            "calibration error": self.calibration_error,
            "loss": self.loss,
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Returns the scores as JSON text. NaN becomes null.

        Args:
            path: File to write the text to, or None to write no file.

        Returns:
            The text.
        """
        record = {
            "examples": self.examples,
            "loss": _null_if_nan(self.loss),
            "pixel_accuracy": self.pixel_accuracy,
            "mean_iou": self.mean_iou,
            "class_iou": {name: _null_if_nan(iou) for name, iou in self.class_iou.items()},
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "dice": self.dice,
            "boundary_f1": _null_if_nan(self.boundary_f1),
            "calibration_error": _null_if_nan(self.calibration_error),
            "class_names": self.class_names,
            "ignore_class": self.ignore_class,
            "confusion": self.confusion.tolist(),
        }
        text = json.dumps(record, indent=2) + "\n"
        if path is not None:
            with whole_file(Path(path)) as part:
                part.write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike[str]) -> Self:
        """Builds the scores from what `to_json` returned or wrote.

        Args:
            source: The JSON text, or the path of the file.

        Returns:
            The scores.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If the text is not that of an `Evaluation`.
        """
        if isinstance(source, str) and source.lstrip().startswith("{"):
            text: str | bytes = source
            name = source[:80]
        else:
            text, name = Path(source).read_bytes(), str(source)
        try:
            record = parse_json(text)
            names = validation.class_names("class_names", record["class_names"])
            return cls(
                class_names=names,
                confusion=_confusion(record["confusion"], len(names)),
                loss=_score("loss", record["loss"]),
                boundary_f1=_score("boundary_f1", record["boundary_f1"]),
                examples=validation.integer("examples", record["examples"], 1),
                ignore_class=validation.optional_integer(
                    "ignore_class", record.get("ignore_class")
                ),
                calibration_error=_score("calibration_error", record.get("calibration_error")),
            )
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(
                "`source` must be JSON text from `Evaluation.to_json`, or the path of such a file. "
                f"Received: {name!r} ({error!r})."
            ) from error

    def __rich__(self) -> Table:
        table = Table("score", box=box.SIMPLE_HEAD, caption=self._caption)
        table.add_column("value", justify="right")
        for label, score in self.labelled_scores.items():
            table.add_row(Text(label), format_score(score))
        return table

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row' style='text-align: left'>{html.escape(label)}</th>"
            f"<td style='text-align: right'>{format_score(score)}</td></tr>"
            for label, score in self.labelled_scores.items()
        )
        return (
            f"<table><caption>{self._caption}</caption>"
            f"<thead><tr><th>score</th><th>value</th></tr></thead><tbody>{rows}</tbody></table>"
        )

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().strip("\n")


def format_score(score: float) -> str:
    """Formats a score with three decimals, or "-" for NaN.

    Further decimals are noise: they differ between two runs of the same training.

    Args:
        score: A number.

    Returns:
        The text.
    """
    return "-" if math.isnan(score) else f"{score:.3f}"


def _null_if_nan(score: float) -> float | None:
    return None if math.isnan(score) else score


def _score(name: str, value: Any) -> float:
    """Checks a score of a record, where null stands for NaN."""
    if value is not None and not validation.is_number(value):
        raise ValueError(f"`{name}` must be a number or null. Received: {value!r:.60}.")
    return math.nan if value is None else float(value)


def _confusion(values: Any, num_classes: int) -> np.ndarray:
    """Checks the confusion matrix of a record."""
    given = np.array(values)
    is_matrix = given.shape == (num_classes, num_classes) and given.dtype.kind in "iu"
    if not is_matrix or given.min() < 0 or not given.any():
        raise ValueError(
            f"`confusion` must be {num_classes} x {num_classes} numbers of pixels, not all 0. "
            f"Received: {values!r:.60}."
        )
    return given.astype(np.int64)
