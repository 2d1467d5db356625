"""The scores of a segmentation, all derived from one confusion matrix."""

import json
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `petseg.evaluate` finds. Prints as a table.

    `confusion` is int64 `(C, C)`: pixels by true class (row) and predicted class (column). `loss`
    is the mean cross-entropy of a pixel, `boundary_f1` a mean over images, `examples` their number.
    A class in neither truth nor prediction has an IoU of NaN, and no mean counts it.
    """

    class_names: tuple[str, ...]
    confusion: np.ndarray
    loss: float
    boundary_f1: float
    examples: int

    @property
    def pixel_accuracy(self) -> float:
        """The part of all pixels that is labelled rightly."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def class_iou(self) -> dict[str, float]:
        """Intersection over union by class name."""
        right, true, predicted = self._pixels
        iou = right / (true + predicted - right)
        return dict(zip(self.class_names, iou.tolist(), strict=True))

    @property
    def mean_iou(self) -> float:
        """IoU averaged over classes."""
        return float(np.nanmean(list(self.class_iou.values())))

    @property
    def frequency_weighted_iou(self) -> float:
        """IoU averaged over classes, each weighted by its true pixels."""
        _, true, _ = self._pixels
        return float(np.nansum(true * list(self.class_iou.values())) / np.nansum(true))

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), averaged over classes."""
        right, true, predicted = self._pixels
        return float(np.nanmean(2 * right / (true + predicted)))

    @cached_property
    def _pixels(self) -> np.ndarray:
        """Rightly labelled, true, and predicted pixels of each class, `(3, C)`."""
        true, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        pixels = np.stack([np.diag(self.confusion), true, predicted])
        return np.where(true + predicted > 0, pixels, np.nan)

    @property
    def labelled_scores(self) -> dict[str, float]:
        """Every score under the heading it has in tables."""
        return {
            "mean IoU": self.mean_iou,
            **{f"{name} IoU": iou for name, iou in self.class_iou.items()},
            "weighted IoU": self.frequency_weighted_iou,
            "Dice": self.dice,
            "boundary F1": self.boundary_f1,
            "pixel accuracy": self.pixel_accuracy,
            "loss": self.loss,
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The record as JSON text, written to `path` too when there is one. NaN becomes null."""
        record = {
            "examples": self.examples,
            "loss": _null_if_nan(self.loss),
            "pixel_accuracy": self.pixel_accuracy,
            "mean_iou": self.mean_iou,
            "class_iou": {name: _null_if_nan(iou) for name, iou in self.class_iou.items()},
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "dice": self.dice,
            "boundary_f1": _null_if_nan(self.boundary_f1),
            "class_names": self.class_names,
            "confusion": self.confusion.tolist(),
        }
        text = json.dumps(record, indent=2) + "\n"
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike[str]) -> Self:
        """The record that `to_json` made: `source` is its text, or the path of its file."""
        if isinstance(source, str) and source.lstrip().startswith("{"):
            text = source
        else:
            text = Path(source).read_text(encoding="utf-8")
        try:
            record = json.loads(text)
            return cls(
                class_names=tuple(record["class_names"]),
                confusion=np.array(record["confusion"], np.int64),
                loss=_nan_if_null(record["loss"]),
                boundary_f1=_nan_if_null(record["boundary_f1"]),
                examples=record["examples"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                "`source` must be JSON text from `Evaluation.to_json`, or the path of such a file. "
                f"Received: {str(source)[:80]!r} ({error!r})."
            ) from error

    def __rich__(self) -> Table:
        noun = "example" if self.examples == 1 else "examples"
        table = Table("score", box=box.SIMPLE_HEAD, caption=f"{self.examples:,} {noun}")
        table.add_column("value", justify="right")
        for label, score in self.labelled_scores.items():
            table.add_row(Text(label), format_score(score))
        return table

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().strip("\n")


def format_score(score: float) -> str:
    """Three decimals: the next one is noise between two runs of the same training."""
    return "-" if math.isnan(score) else f"{score:.3f}"


def _null_if_nan(score: float) -> float | None:
    return None if math.isnan(score) else score


def _nan_if_null(score: float | None) -> float:
    return math.nan if score is None else score
