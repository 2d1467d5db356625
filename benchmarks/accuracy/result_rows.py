"""Reads the rows of the accuracy benchmark from `docs/results`, which has a folder for each row."""

import csv
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.common import RESULTS

if TYPE_CHECKING:
    import petseg

PHOTO_SCORES = "photo_scores.json"


@dataclass(frozen=True)
class ResultRow:
    """The results of a trained row that tables and figures show.

    Attributes:
        name: Name of the row and its folder, such as "unet-mobilenetv2-224".
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`.
        image_size: (height, width).
        start: "ImageNet", the image size of the row whose weights this one starts from, or another
            model whose encoder it starts from.
        epochs: Epochs with the encoder frozen, and epochs of fine-tuning.
        training_minutes: Sum over the stages of number of epochs times median time of an epoch.
            Epochs that other processes slowed down do not change the median.
        parameters: Number of weights.
        multiply_adds: Multiply-add operations for one image.
        frozen_mean_iou: Mean IoU on the test split before fine-tuning. None where no epoch was
            frozen.
        test: The scores on the test split, as `petseg.Evaluation.to_json` writes them.
        photo_scores: What `benchmarks.accuracy.photo_scores` wrote. Empty for synthetic data.
    """

    name: str
    architecture: str
    backbone: str
    image_size: tuple[int, int]
    start: str
    epochs: tuple[int, int]
    training_minutes: float
    parameters: int
    multiply_adds: int
    frozen_mean_iou: float | None
    test: dict[str, Any]
    photo_scores: dict[str, Any]

    @property
    def size(self) -> str:
        """The image size as text, such as "224x224"."""
        return _size_text(self.image_size)

    @property
    def label(self) -> str:
        """Architecture and size, such as "unet 224". `row_labels` gives unique labels."""
        return f"{self.architecture} {self.name.rpartition('-')[2]}"

    @property
    def evaluation(self) -> "petseg.Evaluation":
        """The scores on the test split."""
        from petseg import Evaluation  # the tables need no TensorFlow

        return Evaluation.from_json(json.dumps(self.test))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads a row.

        Args:
            folder: The folder with `result.json` and `history.csv`.

        Returns:
            The row.
        """
        record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        before = record.get("before_fine_tuning")
        settings = record["settings"]
        height, width = settings["image_size"]
        architecture = settings["architecture"]
        scored = folder / PHOTO_SCORES
        return cls(
            name=folder.name,
            architecture=architecture,
            backbone=settings["backbone"],
            image_size=(height, width),
            start=_start(settings["weights"], architecture),
            epochs=(settings["frozen_epochs"], settings["epochs"]),
            training_minutes=_training_minutes(folder / "history.csv"),
            parameters=record["parameters"],
            multiply_adds=record["multiply_adds"],
            frozen_mean_iou=None if before is None else before["test"]["mean_iou"],
            test=record["test"],
            photo_scores=json.loads(scored.read_text(encoding="utf-8")) if scored.exists() else {},
        )


def result_rows(results: Path = RESULTS) -> list[ResultRow]:
    """Reads all rows.

    Args:
        results: The folder with a folder for each row.

    Returns:
        The rows, best mean IoU first.
    """
    rows = [ResultRow.load(path.parent) for path in results.glob("*/result.json")]
    return sorted(rows, key=lambda row: (-row.test["mean_iou"], row.name))


def best_of_each_architecture(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Selects the best row of each architecture.

    Args:
        rows: Rows, sorted by decreasing score.

    Returns:
        The first row of each architecture.
    """
    best: dict[str, ResultRow] = {}
    for row in rows:
        best.setdefault(row.architecture, row)
    return list(best.values())


def row_labels(rows: Sequence[ResultRow]) -> dict[str, str]:
    """Labels rows for figures, with the backbone only where it is needed.

    Args:
        rows: Rows.

    Returns:
        A unique label for each name of a row, such as "unet 224" or "unet vgg16 224".
    """
    counts = Counter(row.label for row in rows)
    return {
        row.name: row.label if counts[row.label] == 1 else row.name.replace("-", " ")
        for row in rows
    }


def weights_of_any_machine(weights: str | None) -> str | None:
    """Names the initial weights without the folder of this machine: the run and the file.

    Args:
        weights: The setting `weights` of a run.

    Returns:
        What is not the path of a file, unchanged; else its last two parts.
    """
    if weights is None or not Path(weights).suffix:
        return weights
    return "/".join(Path(weights).parts[-2:])


def _start(weights: str | None, architecture: str) -> str:
    """Names the initial weights: "imagenet", or a file such as `unet-mobilenetv2-128/best...`."""
    if weights in (None, "none"):
        return "random"
    if weights == "imagenet":
        return "ImageNet"
    folder = Path(str(weights)).parent.name
    if not folder.startswith("pets-"):  # the same model at another size
        side = int(folder.rpartition("-")[2])
        return _size_text((side, side))
    before = folder.split("-")[1]
    is_own = before == architecture
    return f"pretrained `{before}`" if is_own else f"encoder of the pretrained `{before}`"


def _size_text(size: tuple[int, int]) -> str:
    return "x".join(map(str, size))


def _training_minutes(history: Path) -> float:
    stages: dict[str, list[float]] = {}
    with history.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            stages.setdefault(row["stage"], []).append(float(row["seconds"]))
    return sum(len(seconds) * statistics.median(seconds) for seconds in stages.values()) / 60
