"""Photos as users take them: one to six small animals, cut off, partly hidden, dark or blurred.

Oxford-IIIT Pet shows one animal that fills two fifths of the frame. This set is composed from its
validation photos alone, the same with the same seed, and is stored nowhere: animals at 4 to 20% of
the frame are pasted with their masks onto the animal-free parts of other photos, or whole photos
become mosaics. Some frames then get an occluding box, blur, noise, little light, or JPEG artefacts.

    python -m benchmarks.accuracy.ordinary_photos --data-dir DIR --out sheet.jpg
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

import petseg
from benchmarks.accuracy.scene_composer import PET, Photo, Scene, compose
from benchmarks.common import argument_parser
from petseg.data.pipeline import resize_example
from petseg_runtime import overlay

COUNT = 360
SEED = 20
SHEET_COLUMNS, SHEET_HEIGHT = 10, 160


def scenes(data_dir: Path | None, count: int = COUNT, seed: int = SEED) -> list[Scene]:
    """Composes the set.

    Args:
        data_dir: Folder of `tensorflow_datasets`.
        count: Number of photos.
        seed: Seed of everything that is drawn.

    Returns:
        The photos.
    """
    examples = petseg.data.pet_examples(data_dir)["val"].as_numpy_iterator()
    photos = [Photo(e["image"], e["mask"][..., 0]) for e in examples]
    photos = [photo for photo in photos if (photo.mask == PET).mean() > 0.01]  # wrongly labelled
    return compose(photos, count, seed)


def batches(
    found: Sequence[Scene], image_size: tuple[int, int], batch_size: int = 16
) -> tf.data.Dataset:
    """Resizes scenes like the photos of the other splits.

    Args:
        found: The scenes.
        image_size: (height, width) of the result.
        batch_size: Number of photos in a batch.

    Returns:
        Batches `(images, masks)`: float32 `(N, *image_size, 3)` and int32 `(N, *image_size, 1)`.
    """
    resized = [resize_example(scene.image, scene.mask[..., None], image_size) for scene in found]
    images, masks = (np.stack([pair[index].numpy() for pair in resized]) for index in (0, 1))
    dataset = tf.data.Dataset.from_tensor_slices((images, masks)).batch(batch_size)
    return dataset.map(lambda x, y: (tf.cast(x, tf.float32), tf.cast(y, tf.int32)))


def sheet(found: Sequence[Scene]) -> Image.Image:
    """Draws scenes with their masks.

    Args:
        found: The scenes.

    Returns:
        The picture, ten scenes in a row.
    """
    size = SHEET_HEIGHT * 4 // 3, SHEET_HEIGHT
    picture = Image.new(
        "RGB", (SHEET_COLUMNS * size[0], -(-len(found) // SHEET_COLUMNS) * size[1]), "white"
    )
    for number, scene in enumerate(found):
        drawn = Image.fromarray(overlay(scene.image, scene.mask, class_names=petseg.PET_CLASSES))
        drawn = ImageOps.contain(drawn, size)
        row, column = divmod(number, SHEET_COLUMNS)
        picture.paste(drawn, (column * size[0], row * size[1]))
    return picture


def main() -> None:
    """Draws fifty scenes, to look at."""
    args = argument_parser(__doc__, data_dir="optional", seed=False).parse_args()
    found = scenes(args.data_dir)
    animals = [float((scene.mask == PET).mean()) for scene in found]
    print(f"{len(found)} photos; median share of pet {np.median(animals):.3f}")
    sheet(found[:50]).save(args.out)


if __name__ == "__main__":
    main()
