"""The three loaders: Oxford-IIIT Pet, a folder of your own, and drawn pets."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from petseg.data.folder import folder_examples
from petseg.data.oxford_pets import BINARY_CLASSES, PET_CLASSES, border_as_pet, pet_examples
from petseg.data.pipeline import Batching, evaluation_batches, training_batches
from petseg.data.synthetic import synthetic_examples


@dataclass(frozen=True)
class Splits:
    """Three datasets of batches `(images, masks)`, and the name of each class in the masks.

    Images are float32 `(N, H, W, 3)` in [0, 255], masks int32 `(N, H, W, 1)`. `train` is in a new
    order, and augmented anew, each epoch. `val` and `test` are neither.
    """

    train: tf.data.Dataset
    val: tf.data.Dataset
    test: tf.data.Dataset
    class_names: tuple[str, ...]
    ignore_class: int | None = None


def load_pets(
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    data_dir: str | os.PathLike[str] | None = None,
    binary: bool = False,
    augment: bool = True,
    seed: int = 0,
) -> Splits:
    """Oxford-IIIT Pet from `tensorflow_datasets`, downloaded (800 MB) unless it is in `data_dir`.

    Classes are 0 pet, 1 background, 2 border; with `binary` the border counts as pet. `val` is
    about a tenth of the official trainval list, picked by a hash of the file name; `test` is the
    official one. Photos are squashed to `image_size`, (height, width). `data_dir` holds
    `oxford_iiit_pet/`; the default is that of `tensorflow_datasets`. `seed` settles order and
    augmentation.

    Raises `FileNotFoundError` when the set is neither there nor can be downloaded.
    """
    batching = Batching(image_size, batch_size, augment, seed)
    return _pet_splits(pet_examples(data_dir), binary, batching)


def load_folder(
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    binary: bool = False,
    augment: bool = True,
    seed: int = 0,
) -> Splits:
    """Images and masks of your own, or the official archives of Oxford-IIIT Pet as unpacked.

    Your own lie in `root/images` and `root/masks`, matched by name without suffix, or in
    `root/train/images`, `root/train/masks` and so on for `train`, `val` and `test`. Without these
    subfolders, a hash of the name puts about 80 % in `train` and 10 % in each of the others. The
    pixels of a mask, grey values or palette indices, are indices into `class_names`; 255 is passed
    through, for `ignore_class`.

    The official archives give what `load_pets` gives, the same `val` included, with neither
    `class_names` to pass nor `tensorflow_datasets` to prepare; `binary` is for them alone.

    Images are squashed to `image_size`, (height, width). `seed` settles order and augmentation.
    Raises `FileNotFoundError` for missing folders and files, `ValueError` for bad arguments; a bad
    file raises when it is read, naming it. `verify_folder` lists all bad files at once.
    """
    batching = Batching(image_size, batch_size, augment, seed)
    examples = folder_examples(root, class_names)
    if class_names is None:
        return _pet_splits(examples, binary, batching)
    if binary:
        raise ValueError(
            "`binary` must be False with `class_names`: it merges the border of Oxford-IIIT Pet "
            "into the pet. Received: True. Merge classes in your masks instead."
        )
    return dataclasses.replace(_splits(examples, tuple(class_names), batching), ignore_class=255)


def synthetic_pets(
    num_examples: int = 96,
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    binary: bool = False,
    augment: bool = True,
    seed: int = 0,
) -> Splits:
    """Drawn cats and dogs on textured backgrounds, 70 % train, 15 % val and 15 % test.

    For trying things out with no download; the classes are those of `load_pets`. `seed` settles
    the drawings as well as order and augmentation.
    """
    batching = Batching(image_size, batch_size, augment, seed)
    return _pet_splits(synthetic_examples(num_examples, seed), binary, batching)


def _pet_splits(examples: dict[str, tf.data.Dataset], binary: bool, batching: Batching) -> Splits:
    if not binary:
        return _splits(examples, PET_CLASSES, batching)
    merged = {split: border_as_pet(dataset) for split, dataset in examples.items()}
    return _splits(merged, BINARY_CLASSES, batching)


def _splits(
    examples: dict[str, tf.data.Dataset], class_names: tuple[str, ...], batching: Batching
) -> Splits:
    return Splits(
        train=training_batches(examples["train"], batching),
        val=evaluation_batches(examples["val"], batching, cache=True),
        # Read once as a rule, so not worth the memory.
        test=evaluation_batches(examples["test"], batching, cache=False),
        class_names=class_names,
    )
