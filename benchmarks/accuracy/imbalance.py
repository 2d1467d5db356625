"""Losses, class weights and oversampling on scenes with rare classes.

Trains U-Net on EfficientNet-Lite0, from ImageNet weights, on the scenes of `street_scenes`. Four of
their nine classes have about 1 % of the pixels together and occur in few scenes. A row changes only
what it names. Records the mean IoU on the test split of the epoch that is best on the
validation split, over all classes and over the rare ones, for two seeds. Rows that are in the JSON
already are not trained again.

    python -m benchmarks.accuracy.imbalance --out docs/results/imbalance.json
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from benchmarks.accuracy.street_scenes import CLASSES, RARE, SIZE, write_streets
from benchmarks.common import Record, argument_parser
from petseg.data import verify_folder
from petseg.experiment import Settings, run

SCENES = {"train": 160, "val": 48, "test": 160}
TRAINING: dict[str, Any] = {"image_size": SIZE, "frozen_epochs": 2, "epochs": 10}
SEEDS = 2
CHANGES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"loss": "cross-entropy"},
    "cross-entropy, balanced": {"loss": "cross-entropy", "class_weights": "balanced"},
    "cross-entropy and Dice": {},
    "cross-entropy and Dice, balanced": {"class_weights": "balanced"},
    "cross-entropy and Dice, oversampled": {"oversample": True},
    "cross-entropy and Dice, balanced, oversampled": {
        "class_weights": "balanced",
        "oversample": True,
    },
    "focal": {"loss": "focal"},
    "focal, balanced": {"loss": "focal", "class_weights": "balanced"},
    "Tversky": {"loss": "tversky"},
}


def runs() -> Iterator[tuple[str, str, int]]:
    """Lists all runs.

    Yields:
        The name, the key of `CHANGES` and the seed of each run. All changes come with one seed
        before any comes with the next.
    """
    for seed in range(SEEDS):
        for change in CHANGES:
            yield f"{change}; seed {seed}", change, seed


def class_shares(masks: Path) -> dict[str, dict[str, float]]:
    """Measures how rare each class is.

    Args:
        masks: Folder of masks.

    Returns:
        For each class its share of the pixels, and the share of the masks that have it.
    """
    found = np.array([np.asarray(Image.open(path)) for path in sorted(masks.glob("*.png"))])
    return {
        name: {
            "pixels": round(float((found == label).mean()), 5),
            "images": round(float((found == label).any(axis=(1, 2)).mean()), 3),
        }
        for label, name in enumerate(CLASSES)
    }


def train(data: Path, folder: Path, change: str, seed: int) -> dict[str, Any]:
    """Trains one row.

    Args:
        data: Folder of scenes.
        folder: Folder of the run.
        change: Key of `CHANGES`.
        seed: Seed of the weights, the order of the scenes and their augmentation.

    Returns:
        The mean IoU over all classes and over the rare ones, the IoU of each class, and the
        seconds that the training took, on the test split.
    """
    keras.utils.clear_session()
    settings = Settings(
        "unet", data=str(data), classes=CLASSES, seed=seed, **{**TRAINING, **CHANGES[change]}
    )
    result = run(settings, folder, verbose=2)
    class_iou = {name: round(iou, 4) for name, iou in result.test.class_iou.items()}
    return {
        "mean_iou": round(result.test.mean_iou, 4),
        "rare_mean_iou": round(float(np.mean([class_iou[name] for name in RARE])), 4),
        "class_iou": class_iou,
        "seconds": result.training_seconds,
    }


def main() -> None:
    """Trains the rows that are missing."""
    args = argument_parser(__doc__, seed=False).parse_args()
    settings = {**TRAINING, "scenes": SCENES, "split": "test", "rare": RARE}
    record = Record(args.out, settings)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "streets")
        write_streets(data, SCENES)
        problems = verify_folder(data, class_names=CLASSES)
        if problems:
            raise SystemExit(f"The scenes are wrong: {problems[0]}")
        shares = class_shares(data / "train" / "masks")
        for number, (name, change, seed) in enumerate(runs()):
            if name not in record.rows:
                record.add(name, train(data, Path(folder, str(number)), change, seed))
                record.write(shares=shares)


if __name__ == "__main__":
    main()
