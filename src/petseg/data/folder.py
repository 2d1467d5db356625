"""Image and mask files, your own or those of the official archives, to examples."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from petseg.data.folder_layout import Layout, find_layout
from petseg.data.folder_names import IMAGES, MASKS
from petseg.data.label_scheme import UNLABELLED, LabelScheme
from petseg.data.label_tables import Labels
from petseg.data.masks import class_indices, read_labels
from petseg.data.pairing import Pairs
from petseg.data.records import Records, file_identity, read_example
from petseg_runtime.image_io import read_image


def folder_examples(
    root: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    *,
    images: str = IMAGES,
    masks: str = MASKS,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | None = None,
    channels: int = 3,
) -> dict[str, tf.data.Dataset]:
    """Reads the examples of a folder at their original sizes.

    Each file is read only when the dataset reaches its example.

    See `petseg.load_folder` for the layouts.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet, or where a table has the names.
        images: Name of the folder of images.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class, or None.
        labels: What the labels or colours in the masks mean.
        channels: Number of channels of the images, see `petseg.load_folder`.

    Returns:
        For each of "train", "val" and "test" a dataset of dicts: `image` (uint8,
        `(H, W, channels)`), `mask` (uint8, `(H, W, 1)`, class indices, or `Splits.ignore_class`)
        and `file_name`. Reading a bad file raises `tf.errors.OpError`, which names it.

    Raises:
        FileNotFoundError: If a folder is missing, or an image or a mask lacks its partner.
        ValueError: If an argument does not fit the folder, two files differ by the suffix alone,
            a split is empty, or images are in folders that are not read.
    """
    layout = find_layout(
        root,
        class_names,
        images=images,
        masks=masks,
        ignore_class=ignore_class,
        labels=labels,
        channels=channels,
    )
    records = layout_records(root, layout, channels)
    return {split: of_split.examples() for split, of_split in records.items()}


def layout_records(
    root: str | os.PathLike[str], layout: Layout, channels: int = 3
) -> dict[str, Records]:
    """Finds the examples of a folder whose layout is known. Their entries are pairs of paths.

    Args:
        root: The folder, for the errors.
        layout: Its layout.
        channels: Number of channels of the images.

    Returns:
        The records of the examples of `folder_examples`.

    Raises:
        FileNotFoundError: If an image or a mask lacks its partner.
        ValueError: If a split is empty, or images are in folders that are not read.
    """
    return {
        split: _records(pairs, layout.scheme, channels)
        for split, pairs in checked_pairs(root, layout).items()
    }


def checked_pairs(root: str | os.PathLike[str], layout: Layout) -> dict[str, Pairs]:
    """Refuses a layout in which files are missing or would not be read.

    Args:
        root: The folder, for the errors.
        layout: Its layout.

    Returns:
        The pairs of each split.

    Raises:
        FileNotFoundError: If an image or a mask lacks its partner.
        ValueError: If a split is empty, or images are in folders that are not read.
    """
    if layout.misplaced:
        folder, fault = next(iter(layout.misplaced.items()))
        raise ValueError(
            f"`root` must have all images in folders that are read. Received: {root}, but {folder} "
            f"{fault} `petseg.data.verify_folder` lists all {len(layout.misplaced)} such folders."
        )
    if layout.unpaired:
        file, fault = next(iter(layout.unpaired.items()))
        raise FileNotFoundError(
            f"{file} {fault}. Add the missing file, or rename or remove the other. "
            f"`petseg.data.verify_folder` lists all {len(layout.unpaired)} such files."
        )
    if layout.empty_splits:
        raise ValueError(
            "`root` must have images for every split. "
            f"Received: {root}, which {layout.empty_splits[0]}"
        )
    return layout.pairs


def _records(pairs: Pairs, scheme: LabelScheme, channels: int) -> Records:
    def read(image_path: tf.Tensor, mask_path: tf.Tensor) -> dict[str, tf.Tensor]:
        name = tf.strings.split(image_path, os.sep)[-1]
        return read_example(read_pair, (image_path, mask_path), name, channels)

    def read_pair(*paths: bytes) -> tuple[np.ndarray, np.ndarray]:
        image_path, mask_path = map(os.fsdecode, paths)
        image = read_image(image_path, channels)
        labels = read_labels(mask_path, colours=scheme.is_colour)
        return image, class_indices(labels, image, scheme, mask_path, (mask_path, image_path))

    image_paths, mask_paths = (
        [os.fsencode(path) for path in paths] for paths in zip(*pairs, strict=True)
    )
    files = tf.data.Dataset.from_tensor_slices((image_paths, mask_paths))
    return Records(
        files,
        read,
        lambda: [channels, scheme.identity, [file_identity(p) for pair in pairs for p in pair]],
    )
