"""Reads one mask file and finds what is wrong with it."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps

from petseg.data.folder_layout import UNLABELLED
from petseg_runtime.image_io import open_regular

MaskFault = Literal["misaligned", "mislabelled"]

# What a message tells the user to do, where `mask` is the array that holds a mask file. Labels of
# 16 bits or with a sign become 255 as well where 1 is subtracted from 0.
SUBTRACT_ONE = (
    f"`Image.fromarray(np.where(mask == {UNLABELLED}, {UNLABELLED}, mask - 1).astype(np.uint8))`"
)
# The type of the mask is kept: in 8 bits, other labels above 255 would become labels of classes.
REPLACE_LABEL = "`Image.fromarray(np.where(mask == {old}, {new}, mask).astype(mask.dtype))`"
REPLACE_LABELS = (
    "`Image.fromarray(np.select([{olds}], [{news}], mask.astype(int)).astype(mask.dtype))`"
)
BLACK_AND_WHITE_REMEDY = (
    "Masks of two classes, black and white, are restored with "
    "`Image.fromarray((mask > 127).astype(np.uint8))`."
)

# What a message tells the user to do where only the image has an orientation tag that swaps height
# and width: the same turn for the mask. The numbers are those of the EXIF standard.
TURNS = {5: "mask.T", 6: "np.rot90(mask, -1)", 7: "mask[::-1, ::-1].T", 8: "np.rot90(mask)"}

# More different labels than this, none of them a class, are seldom an error in the numbering.
MANY_LABELS = 16


def read_labels(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads the labels in a mask file: its grey values, or the indices into its palette.

    As `read_image` does with an image, this turns the mask by its EXIF orientation.

    Args:
        path: The file.

    Returns:
        Integers or booleans `(H, W, 1)`, of the type that the file stores.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image, is a pipe or a device, is a JPEG image, or has
            several channels or fractions.
    """
    with open_regular(Path(path)) as file:
        try:
            with Image.open(file) as image:
                ImageOps.exif_transpose(image, in_place=True)
                labels, mode = np.asarray(image), image.mode
                is_jpeg = image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
            raise ValueError(
                f"{os.fspath(path)} cannot be read as a mask: {error} Replace the file."
            ) from error
    if is_jpeg:
        raise ValueError(
            f"{os.fspath(path)} must be compressed without loss. Received: a JPEG image, which has "
            f"other labels than were saved. Save the labels again, as PNG. {BLACK_AND_WHITE_REMEDY}"
        )
    if labels.ndim != 2 or labels.dtype.kind == "f":
        raise ValueError(
            f"{os.fspath(path)} must hold one integer per pixel, as grey values or palette "
            f"indices. Received: an image of mode {mode}. {_channels_remedy(labels, mode)}"
        )
    return labels[..., None]


def mask_faults(
    labels: np.ndarray,
    image: np.ndarray,
    expected: range,
    *,
    files: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> dict[MaskFault, str]:
    """Finds what is wrong with a mask.

    Args:
        labels: The labels as stored, `(H, W, 1)`.
        image: The image that the mask belongs to, `(H, W, 3)`.
        expected: The numbers that stand for classes. Where they start at 0, 255 is allowed as
            well, for unlabelled pixels.
        files: The mask's file and the image's, where there are files. Their orientation tags
            explain some differences in size.

    Returns:
        A description and a remedy for each kind of fault: "misaligned" if the sizes differ,
        "mislabelled" if there are labels that stand for no class. Empty if nothing is wrong.
    """
    faults: dict[MaskFault, str] = {}
    if labels.shape[:2] != image.shape[:2]:
        (height, width), (image_height, image_width) = labels.shape[:2], image.shape[:2]
        faults["misaligned"] = (
            f"is {height} x {width} pixels (height x width), but its image is "
            f"{image_height} x {image_width}. {_size_remedy(labels, image, files)}"
        )
    # The official trimaps, which start at 1, label every pixel.
    allowed = {*expected, UNLABELLED} if expected[0] == 0 else {*expected}
    found = set(np.unique(labels).tolist())
    unknown, free = sorted(found - allowed), sorted({*expected} - found)
    if unknown:
        listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        or_unlabelled = f" or {UNLABELLED}" if UNLABELLED in allowed else ""
        faults["mislabelled"] = (
            f"has labels {listed}, expected {expected[0]} to {expected[-1]}{or_unlabelled}. "
            f"{_labels_remedy(unknown, free, expected)}"
        )
    return faults


def _size_remedy(
    labels: np.ndarray,
    image: np.ndarray,
    files: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None,
) -> str:
    if files is not None and labels.shape[:2] == image.shape[1::-1]:
        turn = TURNS.get(_orientation(files[1]))
        if turn is not None and _orientation(files[0]) == 1:
            return (
                "The image has an EXIF orientation tag, which turns it; the mask has none. Turn "
                f"the mask too, with `Image.fromarray({turn})`, or remove the tag from the image."
            )
    return "Save the mask at the size of its image."


def _orientation(path: str | os.PathLike[str]) -> int:
    """Returns the EXIF orientation of an image file that can be read, 1 where it has none."""
    with Image.open(path) as image:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _channels_remedy(pixels: np.ndarray, mode: str) -> str:
    if pixels.ndim == 2:
        return "Save whole numbers: the index of each pixel's class."
    colours = pixels[..., :-1] if mode in ("LA", "RGBA") else pixels
    if np.all(colours == colours[..., :1]):
        return "All its channels are the same: keep one, with `Image.fromarray(mask[..., 0])`."
    return (
        "Change each colour to the index of its class, for example red to 1 and the rest to 0 "
        "with `Image.fromarray(np.all(mask[..., :3] == (255, 0, 0), axis=-1).astype(np.uint8))`."
    )


def _labels_remedy(unknown: list[int], free: list[int], expected: range) -> str:
    """Says what to do about labels that stand for no class, where no pixel has the class `free`."""
    if expected[0] > 0:
        return "Restore the trimap from annotations.tar.gz."
    if unknown == [len(expected)]:
        return (
            f"If your labels start at 1, subtract 1 from them with {SUBTRACT_ONE}; 0 becomes "
            f"{UNLABELLED}, no class. Otherwise name every class."
        )
    if len(unknown) > MANY_LABELS:
        return (
            "JPEG compression or interpolation often makes so many labels: save masks as PNG and "
            f"resize them by nearest neighbour. {BLACK_AND_WHITE_REMEDY}"
        )
    # Different labels get different classes, as far as there are classes.
    targets = (free + [expected[-1]] * len(unknown))[: len(unknown)]
    if len(unknown) == 1:
        change = REPLACE_LABEL.format(old=unknown[0], new=targets[0])
    else:
        olds = ", ".join(f"mask == {label}" for label in unknown)
        change = REPLACE_LABELS.format(olds=olds, news=", ".join(map(str, targets)))
    return (
        "Change each label to the index of its class, the same in all masks, for example with "
        f"{change}."
    )
