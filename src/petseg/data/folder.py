"""Image and mask files, your own or those of the official archives, to examples."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from petseg.data.folder_layout import UNLABELLED, Layout, Pairs, find_layout
from petseg.data.masks import mask_faults, read_labels
from petseg_runtime.image_io import read_image


def folder_examples(
    root: str | os.PathLike[str], class_names: Sequence[str] | None = None
) -> dict[str, tf.data.Dataset]:
    """Reads the examples of a folder at their original sizes.

    Each file is read only when the dataset reaches its example.

    See `petseg.load_folder` for the layouts.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet.

    Returns:
        For each of "train", "val" and "test" a dataset of dicts: `image` (uint8, `(H, W, 3)`),
        `mask` (uint8, `(H, W, 1)`, class indices and 255 for unlabelled pixels) and `file_name`.
        Reading a bad file raises `tf.errors.OpError`, which names it.

    Raises:
        FileNotFoundError: If a folder is missing, or an image or a mask lacks its partner.
        ValueError: If `class_names` does not fit the folder, two files differ by the suffix alone,
            a split is empty, or images are in folders that are not read.
    """
    return layout_examples(root, find_layout(root, class_names))


def layout_examples(
    root: str | os.PathLike[str], layout: Layout, channels: int = 3
) -> dict[str, tf.data.Dataset]:
    """Reads the examples of a folder whose layout is known.

    Args:
        root: The folder, for the errors.
        layout: Its layout.
        channels: Number of channels of the images.

    Returns:
        The examples, see `folder_examples`.

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
    return {split: _examples(pairs, layout, channels) for split, pairs in layout.pairs.items()}


def _examples(pairs: Pairs, layout: Layout, channels: int) -> tf.data.Dataset:
    def read(image_path: tf.Tensor, mask_path: tf.Tensor) -> dict[str, tf.Tensor]:
        image, mask = tf.numpy_function(
            lambda image, mask: _read_pair(os.fsdecode(image), os.fsdecode(mask), layout, channels),
            [image_path, mask_path],
            (tf.uint8, tf.uint8),
        )
        return {
            "image": tf.ensure_shape(image, (None, None, channels)),
            "mask": tf.ensure_shape(mask, (None, None, 1)),
            "file_name": tf.strings.split(image_path, os.sep)[-1],
        }

    image_paths, mask_paths = (
        [os.fsencode(path) for path in paths] for paths in zip(*pairs, strict=True)
    )
    files = tf.data.Dataset.from_tensor_slices((image_paths, mask_paths))
    return files.map(read, num_parallel_calls=tf.data.AUTOTUNE)


def _read_pair(
    image_path: str, mask_path: str, layout: Layout, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    image, labels = read_image(image_path, channels), read_labels(mask_path)
    faults = mask_faults(labels, image, layout.labels, files=(mask_path, image_path))
    for fault in faults.values():
        raise ValueError(f"{mask_path} {fault} `petseg.data.verify_folder` lists every bad file.")
    classes = np.where(labels == UNLABELLED, UNLABELLED, labels - np.int64(layout.first_label))
    return image, classes.astype(np.uint8)
