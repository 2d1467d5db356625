"""The loaders: Oxford-IIIT Pet, a folder of your own, shards, and synthetic pets."""

import os
from collections.abc import Sequence

from petseg.data.augmentation import Augment
from petseg.data.caching import MEMORY, Cache
from petseg.data.folder import layout_records
from petseg.data.folder_layout import find_layout, find_scheme
from petseg.data.folder_names import IMAGES, MASKS
from petseg.data.label_checks import warn_of_labels
from petseg.data.label_scheme import TRIMAPS, UNLABELLED
from petseg.data.label_tables import Labels
from petseg.data.oxford_pets import BINARY_CLASSES, PET_CLASSES, border_as_pet, pet_records
from petseg.data.pipeline import Batching
from petseg.data.records import Records
from petseg.data.shards import shard_records
from petseg.data.splits import Splits, make_splits
from petseg.data.synthetic import synthetic_records
from petseg_runtime import validation

# Examples of shards that are shuffled at once.
SHUFFLE_BUFFER = 1000


def load_pets(
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    data_dir: str | os.PathLike[str] | None = None,
    binary: bool = False,
    augment: Augment = True,
    seed: int = 0,
    cache: Cache = MEMORY,
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
            objects. False changes nothing. A `petseg.data.Augmentation` sets each strength. A
            function gets batches of images (float32 in [0, 255]) and masks (int32), and returns
            both. A preprocessing layer of Keras, or a `keras.Sequential` or `keras.layers.Pipeline`
            of them, is applied to both.
        seed: Seed of the order of the training examples and of their augmentation, 0 or more.
        cache: Where training and validation images are kept once they are resized: "memory"; the
            path of a folder, into which they are written now; or False to read the files again in
            each epoch. The batches are the same.

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
    batching = Batching(image_size, batch_size, augment, seed, cache=cache)
    binary = validation.boolean("binary", binary)
    return _pet_splits(pet_records(data_dir), binary, batching)


def load_folder(
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    images: str = IMAGES,
    masks: str = MASKS,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | None = None,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    binary: bool = False,
    augment: Augment = True,
    seed: int = 0,
    channels: int = 3,
    oversample: bool = False,
    cache: Cache = MEMORY,
) -> Splits:
    """Loads images and masks of your own, or the official archives of Oxford-IIIT Pet, unpacked.

    The folder has one of these layouts:

    - `root/images` and `root/masks`, or other names of `images` and `masks`. A hash of the name
      puts about 80% of the images in `train` and 10% in each of `val` and `test`. An image stays in
      its split when others are added. Lists `train.txt`, `val.txt` and `test.txt` in `root`,
      `ImageSets/Segmentation` or `splits` set the splits instead.
    - `root/train/images`, `root/train/masks` and the same for `val` and `test`, or the other way
      round: `root/images/train`. A validation split that is missing is a tenth of `train`. A test
      split that is missing is half of `val`.
    - `train` and `trainannot`, `val` and `valannot`, and other common names, see the tutorial
      "Train on your own masks".
    - `root/images` and `root/annotations` of the official archives. They give the same splits as
      `load_pets`, without `tensorflow_datasets`.

    Subfolders of these folders are not read, so images in them are an error. An image and its mask
    have the same name without suffix, or all masks end alike, such as `cat_mask.png` for `cat.jpg`.

    A pixel of your own masks, as grey value or palette index, is an index into `class_names`, or
    `ignore_class` where it is unlabelled. Masks with other labels or with colours need `labels`.
    Pass the `ignore_class` of the result to the model.

    Files are read when their batch is, or now where `cache` is a folder. Reading a bad file raises
    `tf.errors.OpError`, which names it; `petseg.data.verify_folder` lists all bad files at once.

    Up to 32 training masks of your own are read at once, to warn (`petseg.data.LabelWarning`) where
    `ignore_class` probably stands for a class: where they hold no label but it and one class, or
    more than a quarter of their pixels are unlabelled. If the labels are sparse on purpose, switch
    it off with `warnings.simplefilter("ignore", petseg.data.LabelWarning)`.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels: 2 to 255
            different names. None for the official archives, or where a table has the names.
        images: Name of the folder of images. If it or `masks` holds "train", the same names with
            "val" and "test" are the other splits.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class, 0 to 65535, or None where every pixel has a
            class.
        labels: What is stored in the masks: a mapping of labels or colours `(r, g, b)` to class
            names, or None for no class; or the path of a CSV or JSON file with such a table. Equal
            names merge classes. The order is that of the first appearance, unless `class_names`
            is given too. By default, and without `class_names`, `classes.csv`, `class_dict.csv`,
            `labelmap.txt` or `classes.json` in `root` is read.
        image_size: (height, width) in pixels that images and masks are resized to. The aspect
            ratio is not kept. Images are resampled bilinearly, masks by nearest neighbour.
        batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
        binary: Whether to merge the border into the pet. For the official archives only.
        augment: How training images and masks are changed at random. "light" or True crops, flips
            and jitters colour. "strong" also makes scenes with small, several and partly hidden
            objects. False changes nothing. A `petseg.data.Augmentation` sets each strength. A
            function gets batches of images (float32 in [0, 255]) and masks (int32), and returns
            both. A preprocessing layer of Keras, or a `keras.Sequential` or `keras.layers.Pipeline`
            of them, is applied to both.
        seed: Seed of the order of the training examples and of their augmentation, 0 or more.
        channels: Number of channels of your own images: 3 for RGB, 1 for grey. Of other numbers,
            the files must have as many channels: TIFF, `.npy` of `(H, W, channels)`, or images with
            transparency. TIFF files with more bands than RGB, and `.npy` files, are never
            converted. uint16 is scaled: 65535 becomes 255.
        oversample: Whether training images with rare classes come several times in an epoch: a
            class that a share f of the images has up to `sqrt(0.5 / f)` times (arXiv:1908.03195).
            Reads all training masks at once.
        cache: Where training and validation images are kept once they are resized: "memory"; the
            path of a folder, into which they are written now; or False to read the files again in
            each epoch. The batches are the same.

    Returns:
        The batches of the three splits and their class names. Their `ignore_class` is that of the
        arguments; 255 where a mask of 8 bits cannot have it beside the classes; None for the
        official archives.

    Raises:
        FileNotFoundError: If a folder is missing, or an image or a mask lacks its partner.
        ValueError: If an argument is out of its range or does not fit the folder, two files differ
            by the suffix alone, a split is empty, images are in folders that are not read, or there
            are several ways to read the folder.

    Example:
        >>> streets = petseg.load_folder("streets", class_names=("road", "car", "sky"))
        >>> model = petseg.unet(
        ...     3, class_names=streets.class_names, ignore_class=streets.ignore_class
        ... )
    """
    batching = Batching(image_size, batch_size, augment, seed, oversample, cache)
    if validation.boolean("binary", binary) and class_names is not None:
        raise ValueError(
            "`binary` must be False with `class_names`: it merges the border of Oxford-IIIT Pet "
            "into the pet. Received: True. Merge classes with `labels` instead."
        )
    channels = validation.integer("channels", channels, 1)
    layout = find_layout(
        root,
        class_names,
        images=images,
        masks=masks,
        ignore_class=ignore_class,
        labels=labels,
        channels=channels,
    )
    scheme = layout.scheme
    if binary and scheme is not TRIMAPS:
        raise ValueError(
            "`binary` must be False for masks of your own: it merges the border of Oxford-IIIT Pet "
            "into the pet. Received: True. Merge classes with `labels` instead."
        )
    records = layout_records(root, layout, channels)
    if scheme is TRIMAPS:
        return _pet_splits(records, binary, batching)
    warn_of_labels(root, layout, stacklevel=2)
    return make_splits(records, scheme.class_names, scheme.ignore_class, batching)


def load_shards(
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | None = None,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    augment: Augment = True,
    seed: int = 0,
    channels: int = 3,
    shuffle_buffer: int = SHUFFLE_BUFFER,
    cache: Cache = False,
) -> Splits:
    """Loads images and masks from shards: files of many examples that are read from start to end.

    The folder holds `train-000000.tar`, `train-000001.tar` and so on, and the same for `val` and
    `test`. `petseg.data.write_shards` writes them; so do the package webdataset and
    `tf.io.TFRecordWriter`:

    - A tar file holds the members `NAME.jpg`, of any image format, and `NAME.png` or
      `NAME.mask.png` one after the other. Other members are left out.
    - A TFRecord file, such as `train-000000.tfrecord` or `train.tfrecord-00000-of-00010`, holds
      records of type `tf.train.Example` with the features `image` and `mask`, an encoded image
      each, and perhaps `file_name`.

    The number of examples of each shard is read from `shards.json`, which `write_shards` writes.
    Where it is missing, the shards are read once to count them.

    In each epoch, the training shards are read in another order, several in turns, and a part of
    the examples is shuffled at once. So write training examples in a random order. Damaged shards
    and images raise `tf.errors.OpError`, which names the shard and the image.

    Args:
        root: The folder.
        class_names: Name of each class in the masks, in the order of the labels: 2 to 255 different
            names. None where a table has the names.
        ignore_class: Label of pixels without a class, 0 to 65535, or None where every pixel has a
            class.
        labels: What is stored in the masks, as for `petseg.load_folder`. By default, and without
            `class_names`, a table such as `classes.csv` in `root` is read.
        image_size: (height, width) in pixels that images and masks are resized to. The aspect
            ratio is not kept. Images are resampled bilinearly, masks by nearest neighbour.
        batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
        augment: How training images and masks are changed at random, as for `petseg.load_folder`.
        seed: Seed of the order of the training examples and of their augmentation, 0 or more.
        channels: Number of channels of the images, as for `petseg.load_folder`.
        shuffle_buffer: Number of training examples that are shuffled at once. So many encoded
            images are in memory.
        cache: False, to read the shards again in each epoch; or where training and validation
            images are kept once they are resized: "memory", or the path of a folder, into which
            they are written now. With a cache, all training examples are shuffled at once.

    Returns:
        The batches of the three splits, their class names and `ignore_class`.

    Raises:
        FileNotFoundError: If the folder, the shards of a split or a listed shard is missing.
        ValueError: If an argument is out of its range, or a shard is damaged.

    Example:
        >>> streets = petseg.load_shards("shards", class_names=("road", "car", "sky"))
        >>> model = petseg.unet(
        ...     3, class_names=streets.class_names, ignore_class=streets.ignore_class
        ... )
    """
    batching = Batching(image_size, batch_size, augment, seed, cache=cache)
    channels = validation.integer("channels", channels, 1)
    shuffle_buffer = validation.integer("shuffle_buffer", shuffle_buffer, 1)
    scheme = find_scheme(root, class_names, ignore_class=ignore_class, labels=labels)
    records = shard_records(root, scheme, channels, shuffle_buffer)
    return make_splits(records, scheme.class_names, scheme.ignore_class, batching)


def synthetic_pets(
    num_examples: int = 96,
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 16,
    binary: bool = False,
    augment: Augment = True,
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
            objects. False changes nothing. A `petseg.data.Augmentation` sets each strength. A
            function gets batches of images (float32 in [0, 255]) and masks (int32), and returns
            both. A preprocessing layer of Keras, or a `keras.Sequential` or `keras.layers.Pipeline`
            of them, is applied to both.
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
    return _pet_splits(synthetic_records(num_examples, seed), binary, batching)


def _pet_splits(records: dict[str, Records], binary: bool, batching: Batching) -> Splits:
    if not binary:
        return make_splits(records, PET_CLASSES, None, batching)
    merged = {split: border_as_pet(of_split) for split, of_split in records.items()}
    return make_splits(merged, BINARY_CLASSES, None, batching)
