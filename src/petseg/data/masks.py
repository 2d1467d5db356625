"""Reads one mask file and finds what is wrong with it."""

import os
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps

from petseg.data.label_scheme import (
    UNKNOWN,
    LabelScheme,
    labels_argument,
    pack_colours,
    unpack_colour,
)
from petseg_runtime.image_io import open_regular

MaskFault = Literal["misaligned", "mislabelled"]

# What a message tells the user to do, where `mask` is the array that holds a mask file.
BLACK_AND_WHITE_REMEDY = (
    "Masks of two classes, black and white, are restored with "
    "`Image.fromarray((mask > 127).astype(np.uint8))`."
)
COLOUR_REMEDY = (
    "If the colours stand for classes, pass a table of them as `labels`, such as a file "
    "classes.csv with the columns name, r, g and b."
)

# The modes of Pillow whose pixels have colours of 8 bits.
COLOUR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")

# Colours that a message lists.
LISTED = 5

# What a message tells the user to do where only the image has an orientation tag that swaps height
# and width: the same turn for the mask. The numbers are those of the EXIF standard.
TURNS = {5: "mask.T", 6: "np.rot90(mask, -1)", 7: "mask[::-1, ::-1].T", 8: "np.rot90(mask)"}

# More different labels than this, none of them a class, are seldom an error in the numbering.
MANY_LABELS = 16

# More colours than this cannot all be classes.
MAX_COLOURS = 256

INTERPOLATION_REMEDY = (
    "JPEG compression or interpolation often makes so many: save masks as PNG and resize them by "
    "nearest neighbour."
)


class ColouredMaskError(ValueError):
    """A mask has colours where labels are read.

    Args:
        message: What is wrong, and a remedy.
        colours: The number of pixels of each colour, packed by `pack_colours`, the most frequent
            first. Of more than `MAX_COLOURS` colours, one more than that.
    """

    def __init__(self, message: str, colours: dict[int, int]) -> None:
        super().__init__(message)
        self.colours = colours


def read_labels(path: str | os.PathLike[str], *, colours: bool = False) -> np.ndarray:
    """Reads the labels in a mask file: its grey values, or the indices into its palette.

    Channels that are all the same count as one, and an alpha channel does not count. As
    `read_image` does with an image, this turns the mask by its EXIF orientation.

    Args:
        path: The file.
        colours: Whether to read the colours of the pixels instead, packed by `pack_colours`.

    Returns:
        Integers or booleans `(H, W, 1)`, of the type that the file stores, or uint32 for colours.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image, is a pipe or a device, is a JPEG image, or has
            several channels or fractions where labels are read. `ColouredMaskError` if these are
            colours of 8 bits.
    """
    with open_regular(Path(path)) as file:
        return decode_labels(file, os.fspath(path), colours=colours)


def decode_labels(file: BinaryIO, name: str, *, colours: bool = False) -> np.ndarray:
    """Reads the labels in an opened mask file, or in bytes in memory, as `read_labels` does.

    Args:
        file: The opened file, such as `io.BytesIO(content)`.
        name: Its name, for the errors.
        colours: As for `read_labels`.

    Returns:
        As `read_labels` does.

    Raises:
        ValueError: As `read_labels` does.
    """
    try:
        with Image.open(file) as image:
            ImageOps.exif_transpose(image, in_place=True)
            is_jpeg = image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"
            mode, has_colours = image.mode, image.mode in COLOUR_MODES
            if colours and has_colours:
                pixels = np.asarray(image.convert("RGBA"))
            else:
                pixels = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        raise ValueError(f"{name} cannot be read as a mask: {error} Replace the file.") from error
    if is_jpeg:
        raise ValueError(
            f"{name} must be compressed without loss. Received: a JPEG image, which has "
            f"other labels than were saved. Save the labels again, as PNG. {BLACK_AND_WHITE_REMEDY}"
        )
    if colours and not has_colours:
        raise ValueError(
            f"{name} must hold colours of 8 bits, because `labels` lists colours. "
            f"Received: an image of mode {mode}. List labels, or pass `class_names` without it."
        )
    if colours:
        return pack_colours(pixels)
    if pixels.ndim == 3:
        grey = pixels[..., :1]
        if np.all((pixels[..., :-1] if mode in ("LA", "RGBA") else pixels) == grey):
            pixels = grey[..., 0]
    if pixels.ndim != 2 or pixels.dtype.kind == "f":
        present, counts = _colours_of(pixels)
        message = (
            f"{name} must hold one integer per pixel, as grey values or palette "
            f"indices. Received: an image of mode {mode}{_listed_colours(present)}. "
            f"{_channels_remedy(pixels)}"
        )
        if not present.size:
            raise ValueError(message)
        most = slice(MAX_COLOURS + 1)  # A photo has a million.
        pairs = zip(present[most].tolist(), counts[most].tolist(), strict=True)
        raise ColouredMaskError(message, dict(pairs))
    return pixels[..., None]


def mask_faults(
    labels: np.ndarray,
    image: np.ndarray,
    scheme: LabelScheme,
    *,
    encoded: np.ndarray | None = None,
    files: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> dict[MaskFault, str]:
    """Finds what is wrong with a mask.

    Args:
        labels: The labels as stored, or the packed colours, `(H, W, 1)`.
        image: The image that the mask belongs to, `(H, W, 3)`.
        scheme: What the labels mean.
        encoded: `scheme.encode(labels)`, where that is known.
        files: The mask's file and the image's, where there are files. Their orientation tags
            explain some differences in size.

    Returns:
        A description and a remedy for each kind of fault: "misaligned" if the sizes differ,
        "mislabelled" if there are labels that stand for nothing. Empty if nothing is wrong.
    """
    faults: dict[MaskFault, str] = {}
    if labels.shape[:2] != image.shape[:2]:
        (height, width), (image_height, image_width) = labels.shape[:2], image.shape[:2]
        faults["misaligned"] = (
            f"is {height} x {width} pixels (height x width), but its image is "
            f"{image_height} x {image_width}. {_size_remedy(labels, image, files)}"
        )
    if encoded is None:
        encoded = scheme.encode(labels)
    is_unknown = encoded == UNKNOWN
    if is_unknown.any():
        unknown = np.unique(labels[is_unknown]).tolist()
        free = sorted({*range(scheme.num_classes)} - set(np.unique(encoded).tolist()))
        listed = ", ".join(map(scheme.name, unknown[:LISTED]))
        listed += ", ..." if len(unknown) > LISTED else ""
        noun = "colours" if scheme.is_colour else "labels"
        faults["mislabelled"] = (
            f"has {noun} {listed}, expected {_expected(scheme)}. "
            f"{_labels_remedy(unknown, free, scheme)}"
        )
    return faults


def class_indices(
    labels: np.ndarray,
    image: np.ndarray,
    scheme: LabelScheme,
    name: str,
    files: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> np.ndarray:
    """Returns the class of each pixel of a mask that is right.

    Args:
        labels: As for `mask_faults`.
        image: As for `mask_faults`.
        scheme: As for `mask_faults`.
        name: The name of the mask, for the error.
        files: As for `mask_faults`.

    Returns:
        uint8 `(H, W, 1)`.

    Raises:
        ValueError: If `mask_faults` finds a fault.
    """
    encoded = scheme.encode(labels)
    for fault in mask_faults(labels, image, scheme, encoded=encoded, files=files).values():
        more = "" if files is None else " `petseg.data.verify_folder` lists every bad file."
        raise ValueError(f"{name} {fault}{more}")
    return encoded.astype(np.uint8)


def _expected(scheme: LabelScheme) -> str:
    if scheme.first_label is None:
        return f"those in {scheme.table}"
    labels = f"{scheme.first_label} to {scheme.first_label + scheme.num_classes - 1}"
    void = scheme.void_label
    return labels if void is None or void < scheme.num_classes else f"{labels} or {void}"


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


def _colours_of(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the packed colours of an image and how many pixels have each, most frequent first.

    None of them if the image does not have three or four channels of 8 bits.
    """
    if pixels.ndim != 3 or pixels.shape[-1] < 3 or pixels.dtype != np.uint8:
        return np.empty(0, np.uint32), np.empty(0, np.int64)
    colours, counts = np.unique(pack_colours(pixels[..., :3]), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return colours[order], counts[order]


def _listed_colours(colours: np.ndarray) -> str:
    """Lists the first of some packed colours."""
    if not colours.size:
        return ""
    listed = ", ".join(str(unpack_colour(colour)) for colour in colours[:LISTED].tolist())
    more = f" and {len(colours) - LISTED:,} more" if len(colours) > LISTED else ""
    return f" with the colours {listed}{more}"


def _channels_remedy(pixels: np.ndarray) -> str:
    if pixels.ndim == 2:
        return "Save whole numbers: the index of each pixel's class."
    return COLOUR_REMEDY


def _labels_remedy(unknown: list[int], free: list[int], scheme: LabelScheme) -> str:
    """Says what to do about labels that stand for nothing, where no pixel has the class `free`."""
    if scheme.first_label is None:
        return _table_remedy(scheme, are_many=len(unknown) > MANY_LABELS)
    if scheme.first_label > 0:
        return "Restore the trimap from annotations.tar.gz."
    if unknown == [scheme.num_classes]:
        return next_label_remedy(scheme, starts_at_1=0 in free)
    if len(unknown) > MANY_LABELS:
        return (
            "JPEG compression or interpolation often makes so many labels: save masks as PNG and "
            f"resize them by nearest neighbour. {BLACK_AND_WHITE_REMEDY}"
        )
    return (
        "Give each label its class with a table as `labels`, such as a file classes.csv with the "
        "columns label and name; an empty name means no class."
    )


def next_label_remedy(scheme: LabelScheme, *, starts_at_1: bool) -> str:
    """Says what to do about the label after that of the last class.

    Args:
        scheme: What the labels mean.
        starts_at_1: Whether the masks do not have the label 0.

    Returns:
        A remedy for each likely reason, the likeliest first.
    """
    last, void = scheme.num_classes, scheme.void_label
    if void is not None and void < last:
        # The names are those of the other labels.
        labels = [label for label in range(last + 1) if label != void]
        table = {void: None, **dict(zip(labels, scheme.class_names, strict=True))}
        given = labels_argument(dict(sorted(table.items())))
        return (
            f"If {void} means no class and the names are those of the other labels, pass {given}."
        )
    remedies = [f"If {last} means no class, pass `ignore_class={last}`."]
    if starts_at_1:
        shifted = {0: None, **dict(enumerate(scheme.class_names, 1))}
        remedies.insert(0, f"If your labels start at 1, pass {labels_argument(shifted)}.")
    return " ".join([*remedies, "Otherwise name every class."])


def _table_remedy(scheme: LabelScheme, *, are_many: bool) -> str:
    """Says what to do about labels or colours that a table lacks."""
    if are_many:
        return INTERPOLATION_REMEDY
    remedy = f"Add them to {scheme.table}, without a name where they mean no class."
    if scheme.is_colour:
        remedy += " If the masks hold class indices, pass `class_names` without a table."
    return remedy
