"""Image and mask files, your own or those of the official archives, to examples."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from petseg.data.folder_layout import UNLABELLED, Layout, Pairs, find_layout
from petseg_runtime.image_io import read_image

MaskFault = Literal["misaligned", "mislabelled"]


def folder_examples(
    root: str | os.PathLike[str], class_names: Sequence[str] | None = None
) -> dict[str, tf.data.Dataset]:
    """Reads the examples of a folder at their own sizes. A file is read when its example is.

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
            or a split is empty.
    """
    layout = find_layout(root, class_names)
    if layout.unpaired:
        file, fault = next(iter(layout.unpaired.items()))
        raise FileNotFoundError(
            f"{file} {fault}. Add the missing file or remove the other one. "
            f"`petseg.data.verify_folder` lists all {len(layout.unpaired)} such files."
        )
    for split, pairs in layout.pairs.items():
        if not pairs:
            raise ValueError(
                f"`root` must have images for every split. Received: {root}, with no image for "
                f"{split}. Add images, or set the splits by subfolders train, val and test."
            )
    return {split: _examples(pairs, layout) for split, pairs in layout.pairs.items()}


def read_labels(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads the labels in a mask file: its grey values, or the indices into its palette.

    Args:
        path: The file.

    Returns:
        Integers or booleans `(H, W, 1)`, of the type that the file stores.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image, or has several channels or fractions.
    """
    with Path(path).open("rb") as file:
        try:
            with Image.open(file) as image:
                labels, mode = np.asarray(image), image.mode
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
            raise ValueError(
                f"{os.fspath(path)} cannot be read as a mask: {error} Replace the file."
            ) from error
    if labels.ndim != 2 or labels.dtype.kind == "f":
        raise ValueError(
            f"{os.fspath(path)} must hold one integer per pixel, as grey values or palette "
            f"indices. Received: an image of mode {mode}. Save labels, not colours."
        )
    return labels[..., None]


def mask_faults(labels: np.ndarray, image: np.ndarray, expected: range) -> dict[MaskFault, str]:
    """Finds what is wrong with a mask.

    Args:
        labels: The labels as stored, `(H, W, 1)`.
        image: The image that the mask belongs to, `(H, W, 3)`.
        expected: The numbers that stand for classes. Where they start at 0, 255 is allowed as
            well, for unlabelled pixels.

    Returns:
        A description for each kind of fault: "misaligned" if the sizes differ, "mislabelled" if
        there are labels that stand for no class. Empty if nothing is wrong.
    """
    faults: dict[MaskFault, str] = {}
    if labels.shape[:2] != image.shape[:2]:
        (height, width), (image_height, image_width) = labels.shape[:2], image.shape[:2]
        faults["misaligned"] = (
            f"is {height} x {width} pixels (height x width), but its image is "
            f"{image_height} x {image_width}"
        )
    # The official trimaps, which start at 1, label every pixel.
    allowed = {*expected, UNLABELLED} if expected[0] == 0 else {*expected}
    unknown = sorted(set(np.unique(labels).tolist()) - allowed)
    if unknown:
        listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        or_unlabelled = f" or {UNLABELLED}" if UNLABELLED in allowed else ""
        faults["mislabelled"] = (
            f"has labels {listed}, expected {expected[0]} to {expected[-1]}{or_unlabelled}"
        )
    return faults


def _examples(pairs: Pairs, layout: Layout) -> tf.data.Dataset:
    def read(image_path: tf.Tensor, mask_path: tf.Tensor) -> dict[str, tf.Tensor]:
        image, mask = tf.numpy_function(
            lambda image, mask: _read_pair(image.decode(), mask.decode(), layout),
            [image_path, mask_path],
            (tf.uint8, tf.uint8),
        )
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "mask": tf.ensure_shape(mask, (None, None, 1)),
            "file_name": tf.strings.split(image_path, os.sep)[-1],
        }

    image_paths, mask_paths = ([str(path) for path in paths] for paths in zip(*pairs, strict=True))
    files = tf.data.Dataset.from_tensor_slices((image_paths, mask_paths))
    return files.map(read, num_parallel_calls=tf.data.AUTOTUNE)


def _read_pair(image_path: str, mask_path: str, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    image, labels = read_image(image_path), read_labels(mask_path)
    for fault in mask_faults(labels, image, layout.labels).values():
        raise ValueError(
            f"{mask_path} {fault}. Fix the file or remove it. `petseg.data.verify_folder` lists "
            "every bad file."
        )
    classes = np.where(labels == UNLABELLED, UNLABELLED, labels - np.int64(layout.first_label))
    return image, classes.astype(np.uint8)
