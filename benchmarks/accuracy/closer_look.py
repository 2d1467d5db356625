"""Where a closer look pays: the limits of `scales="auto"` for each pretrained model.

Each photo is predicted at the model's size, and at that size and 1.5 times it together. For every
limit, the second prediction counts where less of the photo than that was foreground in the first.
The limit of a model is the one with the best score on composed photos (`ordinary_photos`) among
those that lose nothing on validation.

    python -m benchmarks.accuracy.closer_look --data-dir DIR --out docs/results/closer_look.json
"""

from typing import Any

import numpy as np
import tensorflow as tf

import petseg
from benchmarks.accuracy.ordinary_photos import scenes
from benchmarks.accuracy.photo_scores import confusion, mean_ious
from benchmarks.common import Record, argument_parser
from petseg.data import pet_examples
from petseg_runtime.predictor import CLOSER_SCALE
from petseg_runtime.pretrained import pretrained_models

LIMITS = (0.0, 0.1, 0.2, 0.3)  # above, most photos would be seen twice
TOLERATED = 0.0005  # mean IoU on validation
PETS, BACKGROUND = len(petseg.PET_CLASSES), petseg.PET_CLASSES.index("background")

Photos = list[tuple[np.ndarray, np.ndarray]]


def scores(model: petseg.Runtime, photos: Photos) -> dict[str, dict[str, float]]:
    """Scores a model with each limit.

    Args:
        model: The model.
        photos: Photos and their masks.

    Returns:
        The mean IoU, and the share of the photos that are seen twice, by limit.
    """
    images, truths = zip(*photos, strict=True)
    once, twice = (
        list(model.predictor(scales=scales).masks(images)) for scales in ((1,), (1, CLOSER_SCALE))
    )
    foreground = [(mask != BACKGROUND).mean() for mask in once]
    first, both = (
        np.array([confusion(*pair, PETS) for pair in zip(truths, masks, strict=True)])
        for masks in (once, twice)
    )
    found = {}
    for limit in LIMITS:
        is_small = np.array(foreground) < limit
        total = np.where(is_small[:, np.newaxis, np.newaxis], both, first).sum(0)
        found[str(limit)] = {
            "mean_iou": round(float(mean_ious(total)), 4),
            "seen_twice": round(float(is_small.mean()), 3),
        }
    return found


def chosen(row: dict[str, Any]) -> float:
    """Chooses the limit of a model.

    Args:
        row: Its scores on "validation" and "ordinary", by limit.

    Returns:
        The limit.
    """
    least = row["validation"][str(LIMITS[0])]["mean_iou"] - TOLERATED
    allowed = [limit for limit in LIMITS if row["validation"][str(limit)]["mean_iou"] >= least]
    return max(allowed, key=lambda limit: row["ordinary"][str(limit)]["mean_iou"])


def photos_of(examples: tf.data.Dataset) -> Photos:
    """Returns the photos of a split and their masks."""
    return [(each["image"], each["mask"][..., 0]) for each in examples.as_numpy_iterator()]


def main() -> None:
    """Scores the models that are missing."""
    parser = argument_parser(__doc__, data_dir="required", seed=False)
    args = parser.parse_args()
    examples = pet_examples(args.data_dir)
    sets = {
        "validation": photos_of(examples["val"]),
        "ordinary": [(scene.image, scene.mask) for scene in scenes(args.data_dir)],
    }
    record = Record(args.out, {"split": "val", "scale": CLOSER_SCALE})
    for name in record.missing(pretrained_models()):
        model = petseg.Runtime.pretrained(name)
        row: dict[str, Any] = {key: scores(model, photos) for key, photos in sets.items()}
        record.add(name, {**row, "chosen": chosen(row)})


if __name__ == "__main__":
    main()
