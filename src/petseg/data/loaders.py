"""The three loaders: Oxford-IIIT Pet, a folder of your own, and synthetic pets."""

import os
from collections.abc import Sequence

import tensorflow as tf

from petseg.data.augmentation import Augmentation
from petseg.data.folder import layout_examples
from petseg.data.folder_layout import UNLABELLED, find_layout
from petseg.data.label_checks import warn_of_labels
from petseg.data.oxford_pets import BINARY_CLASSES, PET_CLASSES, border_as_pet, pet_examples
from petseg.data.pipeline import Batching
from petseg.data.splits import Splits, make_splits
from petseg.data.synthetic import synthetic_examples
from petseg_runtime import validation


def load_pets(
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    data_dir: str | os.PathLike[str] | None = None,
    binary: bool = False,
    augment: bool | str | Augmentation = True,
    seed: int = 0,
) -> Splits:
    """Loads Oxford-IIIT Pet: 7,349 photos of cats and dogs, with masks.

    **Downloads 800 MB** unless the dataset is already in `data_dir`;
    `petseg.data.oxford_pets.is_prepared` tells. `tensorflow_datasets` downloads and reads it.

    The classes are 0 pet, 1 background and 2 border. `val` is about a tenth of the official
    trainval list, chosen by a hash of the file name, the same on every machine. `test` is the
    official test list.

    Args:
        image_size: (height, width) in pixels that images and masks are resized to. The aspect
            ratio is not kept. Images are resampled bilinearly, masks by nearest neighbour.
        batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`, `~/tensorflow_datasets`.
        binary: Whether to merge the border into the pet, which leaves the classes 0 pet and
            1 background.
        augment: How training images and masks are changed at random. "light" or True crops, flips
            and jitters colour. "strong" also makes scenes with small, several and partly hidden
            objects. False changes nothing. A `petseg.data.Augmentation` sets each strength.
        seed: Seed of the order of the training examples and of their augmentation, 0 or more.

    Returns:
        The batches of the three splits and their class names. `ignore_class` is None.

    Raises:
        FileNotFoundError: If the dataset is not there and cannot be downloaded or prepared.
        ValueError: If an argument is out of its range, or `data_dir` is a file.

    Example:
        >>> pets = petseg.load_pets(image_size=(128, 128), data_dir="data")
        >>> model = petseg.unet(class_names=pets.class_names)
        >>> petseg.finetune(model, pets.train, pets.val)
    """
    batching = Batching(image_size, batch_size, augment, seed)
    binary = validation.boolean("binary", binary)
    return _pet_splits(pet_examples(data_dir), binary, batching)


def load_folder(
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    binary: bool = False,
    augment: bool | str | Augmentation = True,
    seed: int = 0,
    channels: int = 3,
) -> Splits:
    """Loads images and masks of your own, or the official archives of Oxford-IIIT Pet, unpacked.

    Three layouts are recognized:

    - `root/images` and `root/masks`, matched by name without suffix. A hash of the name puts about
      80% of the images in `train` and 10% in each of `val` and `test`. An image stays in its split
      when others are added.
    - `root/train/images`, `root/train/masks` and the same for `val` and `test`.
      Subfolders of these folders are not read, so images in them are an error.
    - `root/images` and `root/annotations` of the official archives. They give the same splits as
      `load_pets`, without `tensorflow_datasets`.

    A pixel of your own masks, as grey value or palette index, is an index into `class_names`, or
    255 where it is unlabelled. Pass `ignore_class=255` to the model.

    Files are read when their batch is. Reading a bad file raises `tf.errors.OpError`, which names
    it; `petseg.data.verify_folder` lists all bad files at once.

    Up to 32 training masks of your own are read at once, to warn (`petseg.data.LabelWarning`) where
    255 probably stands for a class: where they hold no label but 255 and one class, or more than a
    quarter of their pixels are unlabelled. If the labels are sparse on purpose, switch it off with
    `warnings.simplefilter("ignore", petseg.data.LabelWarning)`.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels: 2 to 255
            different names. None for the official archives.
        image_size: (height, width) in pixels that images and masks are resized to. The aspect
            ratio is not kept. Images are resampled bilinearly, masks by nearest neighbour.
        batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
        binary: Whether to merge the border into the pet. For the official archives only.
        augment: How training images and masks are changed at random. "light" or True crops, flips
            and jitters colour. "strong" also makes scenes with small, several and partly hidden
            objects. False changes nothing. A `petseg.data.Augmentation` sets each strength.
        seed: Seed of the order of the training examples and of their augmentation, 0 or more.
        channels: Number of channels of your own images: 3 for RGB, 1 for grey. Of other numbers,
            the files must have as many channels: TIFF, `.npy` of `(H, W, channels)`, or images with
            transparency. uint16 is scaled: 65535 becomes 255.

    Returns:
        The batches of the three splits and their class names. `ignore_class` is 255 for masks of
        your own, None for the official archives.

    Raises:
        FileNotFoundError: If a folder is missing, or an image or a mask lacks its partner.
        ValueError: If an argument is out of its range or does not fit the folder, two files differ
            by the suffix alone, a split is empty, or images are in folders that are not read.

    Example:
        >>> streets = petseg.load_folder("streets", class_names=("road", "car", "sky"))
        >>> model = petseg.unet(
        ...     3, class_names=streets.class_names, ignore_class=streets.ignore_class
        ... )
    """
    batching = Batching(image_size, batch_size, augment, seed)
    if validation.boolean("binary", binary) and class_names is not None:
        raise ValueError(
            "`binary` must be False with `class_names`: it merges the border of Oxford-IIIT Pet "
            "into the pet. Received: True. Merge classes in your masks instead."
        )
    channels = validation.integer("channels", channels, 1)
    layout = find_layout(root, class_names, channels)
    examples = layout_examples(root, layout, channels)
    if class_names is None:
        return _pet_splits(examples, binary, batching)
    warn_of_labels(root, layout, stacklevel=2)
    return make_splits(examples, layout.class_names, UNLABELLED, batching)


def synthetic_pets(
    num_examples: int = 96,
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    binary: bool = False,
    augment: bool | str | Augmentation = True,
    seed: int = 0,
) -> Splits:
    """Draws cats and dogs on textured backgrounds, with masks: data without a download.

    For trying things out and for tests; scores on synthetic pets say nothing about photos. The
    classes are those of `load_pets`: 0 pet, 1 background and 2 border. 70% of the examples are in
    `train`, 15% in `val` and 15% in `test`.

    Args:
        num_examples: Number of examples in all splits together, at least 3: one for each split.
        image_size: (height, width) in pixels that images and masks are resized to. The aspect
            ratio is not kept. Images are resampled bilinearly, masks by nearest neighbour.
        batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
        binary: Whether to merge the border into the pet, which leaves the classes 0 pet and
            1 background.
        augment: How training images and masks are changed at random. "light" or True crops, flips
            and jitters colour. "strong" also makes scenes with small, several and partly hidden
            objects. False changes nothing. A `petseg.data.Augmentation` sets each strength.
        seed: Seed of the drawings, of the order of the training examples and of their
            augmentation, 0 or more.

    Returns:
        The batches of the three splits and their class names. `ignore_class` is None.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> pets = petseg.synthetic_pets(48, image_size=(64, 96), batch_size=8)
        >>> images, masks = next(iter(pets.train))
        >>> images.shape
        TensorShape([8, 64, 96, 3])
    """
    batching = Batching(image_size, batch_size, augment, seed)
    binary = validation.boolean("binary", binary)
    return _pet_splits(synthetic_examples(num_examples, seed), binary, batching)


def _pet_splits(examples: dict[str, tf.data.Dataset], binary: bool, batching: Batching) -> Splits:
    if not binary:
        return make_splits(examples, PET_CLASSES, None, batching)
    merged = {split: border_as_pet(dataset) for split, dataset in examples.items()}
    return make_splits(merged, BINARY_CLASSES, None, batching)
