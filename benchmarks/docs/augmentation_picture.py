"""Draws the picture of strong augmentation, from synthetic pets, into docs/figures.

    python -m benchmarks.docs.augmentation_picture

A column for each kind of change: above an image of a training batch, below it with its mask.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

import petseg
from benchmarks.common import bare_parser
from petseg.data import Augmentation, synthetic_examples
from petseg.data.batch_augmentation import augment_batch
from petseg.data.pipeline import CROP_MARGIN, resize_example
from petseg_runtime.atomic_files import whole_file

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
SIDE, GAP = 224, 8
EXAMPLES = 8
# Each is certain, so that the picture shows it.
COLUMNS = (
    Augmentation(),
    Augmentation(mosaic=1.0),
    Augmentation(paste=1.0),
    Augmentation(occlusion=1.0),
)
SEED, SHOWN = (5, 0), 2  # here the box hides a part of the pet


def main() -> None:
    """Draws the picture."""
    bare_parser(__doc__).parse_args()
    size = (round(CROP_MARGIN * SIDE),) * 2
    examples = list(synthetic_examples(2 * EXAMPLES, seed=1)["train"].take(EXAMPLES))
    resized = [resize_example(example["image"], example["mask"], size) for example in examples]
    images, masks = (tf.stack([pair[index] for pair in resized]) for index in (0, 1))
    width, height = (count * (SIDE + GAP) - GAP for count in (len(COLUMNS), 2))
    picture = Image.new("RGBA", (width, height))  # transparent between the images
    for column, augmentation in enumerate(COLUMNS):
        found = augment_batch(
            images,
            masks,
            seed=SEED,
            image_size=(SIDE, SIDE),
            augmentation=augmentation,
            background=petseg.PET_CLASSES.index("background"),
        )
        image, mask = (np.asarray(part[SHOWN]).round().astype(np.uint8) for part in found)
        overlay = petseg.overlay(image, mask[..., 0], class_names=petseg.PET_CLASSES)
        for row, tile in enumerate((image, overlay)):
            picture.paste(Image.fromarray(tile), (column * (SIDE + GAP), row * (SIDE + GAP)))
    with whole_file(FIGURES / "augmentation.webp") as part:
        picture.save(part, "webp", quality=85)


if __name__ == "__main__":
    main()
