"""Scores photo by photo: what a row of the benchmark needs beside its one confusion matrix.

For every complete row of a folder, on the test split: a 95% interval by bootstrap over photos, the
IoU with the border counted as pet, and the scores without the photos that have a near-duplicate in
the official training list (`label_agreement`). On the validation split and on composed photos
(`ordinary_photos`): the same scores. Rows that have their scores already are left alone.

    python -m benchmarks.accuracy.photo_scores runs/benchmark --data-dir DIR
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import petseg
from benchmarks.accuracy.ordinary_photos import SEED, batches, scenes
from benchmarks.accuracy.result_rows import PHOTO_SCORES
from benchmarks.accuracy.scene_composer import Scene
from benchmarks.common import RESULTS, bare_parser
from petseg.data import pet_examples
from petseg.evaluation import labelled_logits
from petseg.experiment import Result, RunFiles
from petseg_runtime.atomic_files import write_json

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)  # percentiles
MERGED = np.array([[1, 0], [0, 1], [1, 0]])  # pet, background and border to pet and background


def photo_confusions(model: keras.Model | petseg.Runtime, dataset: tf.data.Dataset) -> np.ndarray:
    """Counts the pixels of each photo by true and predicted class.

    Args:
        model: A model that returns logits.
        dataset: Batches of images and masks.

    Returns:
        int64 `(N, C, C)`: true class (row) and predicted class (column).
    """
    found = []
    for logits, truth, _ in labelled_logits(model, dataset):
        classes = logits.shape[-1]
        predicted = logits.argmax(-1)
        found += [confusion(*pair, classes) for pair in zip(truth, predicted, strict=True)]
    return np.stack(found)


def confusion(one: np.ndarray, other: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pixels of two masks by their classes.

    Args:
        one: Classes `(H, W)`.
        other: Classes `(H, W)`.
        classes: Number of classes.

    Returns:
        int64 `(classes, classes)`: the class in `one` (row) and in `other` (column).
    """
    pairs = one.astype(np.int64) * classes + other
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def class_ious(confusions: np.ndarray) -> np.ndarray:
    """Computes the IoU of each class of confusion matrices.

    Args:
        confusions: `(..., C, C)`.

    Returns:
        `(..., C)`.
    """
    right = np.diagonal(confusions, axis1=-2, axis2=-1)
    return right / (confusions.sum(-1) + confusions.sum(-2) - right)


def mean_ious(confusions: np.ndarray) -> np.ndarray:
    """Computes the mean IoU of confusion matrices.

    Args:
        confusions: `(..., C, C)`.

    Returns:
        `(...)`.
    """
    return class_ious(confusions).mean(-1)


def interval(confusions: np.ndarray, seed: int = 0) -> list[float]:
    """Bootstraps the mean IoU over photos.

    Args:
        confusions: `(N, C, C)`, a matrix for each photo.
        seed: Seed of the resampling.

    Returns:
        Ends of the 95% interval.
    """
    count = len(confusions)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    sums = (draws @ confusions.reshape(count, -1)).reshape(RESAMPLES, *confusions.shape[1:])
    return [round(float(end), 5) for end in np.percentile(mean_ious(sums), INTERVAL)]


def scores(confusions: np.ndarray) -> dict[str, Any]:
    """Summarizes the confusion matrices of photos.

    Args:
        confusions: `(N, 3, 3)`.

    Returns:
        JSON types.
    """
    total = confusions.sum(0)
    binary = MERGED.T @ total @ MERGED
    return {
        "photos": len(confusions),
        "mean_iou": round(float(mean_ious(total)), 5),
        "interval": interval(confusions),
        "pixel_accuracy": round(float(np.trace(total) / total.sum()), 5),
        "binary_iou": round(float(class_ious(binary)[0]), 5),
    }


@functools.cache
def has_duplicate(data_dir: Path | None) -> np.ndarray:
    """Finds the test photos with a near-duplicate in the official training list.

    Args:
        data_dir: Folder of `tensorflow_datasets`.

    Returns:
        bool `(N,)`, in the order of the test split.
    """
    pairs = json.loads((RESULTS / "label_agreement.json").read_text(encoding="utf-8"))["pairs"]
    found = {pair["test"] for pair in pairs if pair["crosses"]}
    examples = pet_examples(data_dir)["test"].as_numpy_iterator()
    return np.array([example["file_name"].decode() in found for example in examples])


def score(
    model: keras.Model | petseg.Runtime,
    image_size: tuple[int, int],
    data_dir: Path | None,
    composed: Sequence[Scene],
) -> dict[str, Any]:
    """Scores one model on the validation and test photos and on composed ones.

    Args:
        model: A model that returns logits.
        image_size: (height, width) to which the photos are resized.
        data_dir: Folder of `tensorflow_datasets`.
        composed: The composed photos.

    Returns:
        JSON types.
    """
    pets = petseg.load_pets(image_size=image_size, data_dir=data_dir)
    test = photo_confusions(model, pets.test)
    return {
        "image_size": image_size,
        "validation": scores(photo_confusions(model, pets.val)),
        "test": scores(test),
        "test_without_duplicates": scores(test[~has_duplicate(data_dir)]),
        "ordinary": scores(photo_confusions(model, batches(composed, image_size))),
    }


def score_rows(folder: Path, data_dir: Path | None) -> None:
    """Scores the complete rows of a folder that have no scores yet, into `PHOTO_SCORES` of each.

    Args:
        folder: Folder of all rows.
        data_dir: Folder of `tensorflow_datasets`.
    """
    results = sorted(folder.glob("*/result.json"))
    missing = [path.parent for path in results if not path.with_name(PHOTO_SCORES).exists()]
    composed = scenes(data_dir) if missing else []
    for row in missing:
        print(f"Scores of {row.name}, photo by photo", flush=True)
        keras.utils.clear_session()
        model = keras.models.load_model(RunFiles(row).model)
        found = score(model, Result.load(row).settings.image_size, data_dir, composed)
        write_json(row / PHOTO_SCORES, {"seed_of_composed_photos": SEED, **found})


def main() -> None:
    """Scores the rows that have no scores yet."""
    parser = bare_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder that the benchmark wrote")
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    score_rows(args.folder, args.data_dir)


if __name__ == "__main__":
    main()
