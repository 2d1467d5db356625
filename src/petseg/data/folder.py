"""Image and mask files, one's own or the official archives', to examples."""

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
    """Examples of `train`, `val` and `test`; a file is read when its example is.

    See `petseg.load_folder` for layouts and errors.
    """
    layout = find_layout(root, class_names)
    if layout.unpaired:
        file, fault = next(iter(layout.unpaired.items()))
        raise FileNotFoundError(
            f"{file} {fault}. Add or remove files; `petseg.data.verify_folder` lists all "
            f"{len(layout.unpaired)} of the kind."
        )
    for split, pairs in layout.pairs.items():
        if not pairs:
            raise ValueError(
                f"`root` must have images for every split. Received: {root}, with none for "
                f"{split}. Add images, or choose the splits by subfolders train, val and test."
            )
    return {split: _examples(pairs, layout) for split, pairs in layout.pairs.items()}


def read_labels(path: str | os.PathLike[str]) -> np.ndarray:
    """The labels in a mask file, `(H, W, 1)`: grey values, or indices into its palette.

    Raises `ValueError` when it is no image or has several channels.
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
            f"{os.fspath(path)} must hold one integer a pixel, as grey values or palette indices. "
            f"Received: an image of mode {mode}. Save labels, not colours."
        )
    return labels[..., None]


def mask_faults(labels: np.ndarray, image: np.ndarray, expected: range) -> dict[MaskFault, str]:
    """What is wrong with a mask beside its image: details by kind, misaligned or mislabelled."""
    faults: dict[MaskFault, str] = {}
    if labels.shape[:2] != image.shape[:2]:
        (height, width), (image_height, image_width) = labels.shape[:2], image.shape[:2]
        faults["misaligned"] = (
            f"is {height} x {width} (H x W), its image {image_height} x {image_width}"
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
            f"{mask_path} {fault}. Mend or remove it; `petseg.data.verify_folder` lists every "
            "bad file."
        )
    classes = np.where(labels == UNLABELLED, UNLABELLED, labels - np.int64(layout.first_label))
    return image, classes.astype(np.uint8)
