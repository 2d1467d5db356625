"""`LabelScheme`: what the labels or colours in mask files mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from petseg.data.label_tables import MAX_LABEL, Colour, LabelTable
from petseg.data.oxford_pets import PET_CLASSES
from petseg_runtime import validation

# By convention the label of pixels that nobody labelled, for `ignore_class`.
UNLABELLED = 255

MAX_IGNORE_CLASS = 255  # examples have 8 bits

# In an encoded mask: a label or colour that stands for nothing.
UNKNOWN = -1


@dataclass(frozen=True)
class LabelScheme:
    """What the labels or colours in mask files mean.

    Attributes:
        class_names: Name of each class, in the order of the class indices.
        ignore_class: The label that pixels without a class get in the examples, or None where
            every pixel has a class.
        stored: For each label in the files its class index, or `ignore_class`. A colour is
            packed into one number, see `pack_colours`.
        is_colour: Whether the masks are read as colours.
        first_label: The label of class 0 where the labels of the classes are successive numbers.
            None where a table says what they mean.
        void_label: The label in the files that stands for no class, where there is one such label.
        table: What to call the table in messages, such as its file name.
    """

    class_names: tuple[str, ...]
    ignore_class: int | None
    stored: Mapping[int, int]
    is_colour: bool = False
    first_label: int | None = None
    void_label: int | None = None
    table: str = "`labels`"

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def lookup(self) -> np.ndarray:
        """For each number that a file can hold its class index, `ignore_class`, or `UNKNOWN`."""
        size = 2**24 if self.is_colour else MAX_LABEL + 1
        lookup = np.full(size, UNKNOWN, np.int16)
        lookup[list(self.stored)] = list(self.stored.values())
        return lookup

    @property
    def identity(self) -> list[Any]:
        """What the result of `encode` depends on, as JSON has it."""
        return [self.is_colour, sorted(self.stored.items())]

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Turns labels as stored into class indices.

        Args:
            labels: The labels of a mask, or its packed colours: booleans or integers.

        Returns:
            int16 of the same shape: class indices, `ignore_class`, or `UNKNOWN`.
        """
        if self.is_colour or (labels.dtype.kind == "u" and labels.dtype.itemsize <= 2):
            return self.lookup.take(labels)
        whole = labels.astype(np.int64)
        inside = (whole >= 0) & (whole < len(self.lookup))
        return np.where(inside, self.lookup.take(np.where(inside, whole, 0)), np.int16(UNKNOWN))

    def label_of(self, index: int) -> str:
        """Returns the labels or colours of a class as text."""
        return " or ".join(
            self.name(label) for label, found in self.stored.items() if found == index
        )

    def name(self, label: int) -> str:
        """Returns a label as text: a number, or a colour such as (64, 0, 128)."""
        return str(unpack_colour(label)) if self.is_colour else str(label)


# The official trimaps of Oxford-IIIT Pet, which label every pixel.
TRIMAPS = LabelScheme(PET_CLASSES, None, {1: 0, 2: 1, 3: 2}, first_label=1)


def index_scheme(
    class_names: Sequence[str] | None, ignore_class: int | None, *, name: str = "class_names"
) -> LabelScheme:
    """Makes the scheme of masks whose labels are class indices.

    Args:
        class_names: Name of each class, in the order of the labels.
        ignore_class: The label that stands for no class, or None. If it is a class index, the
            class is ignored. Labels above 255 become 255 in the examples.
        name: The name of the argument that gave `class_names`, for the error.

    Returns:
        The scheme.

    Raises:
        ValueError: If `class_names` does not hold different names, or too many.
    """
    names = checked_class_names(name, class_names, ignore_class)
    stored = {index: index for index in range(len(names))}
    ignored = ignore_class
    if ignore_class is not None:
        ignored = ignore_class if ignore_class <= MAX_IGNORE_CLASS else UNLABELLED
        stored[ignore_class] = ignored
    return LabelScheme(names, ignored, stored, first_label=0, void_label=ignore_class)


def table_scheme(
    table: LabelTable,
    class_names: Sequence[str] | None,
    ignore_class: int | None,
    *,
    source: str = "`labels`",
    name: str = "class_names",
) -> LabelScheme:
    """Makes the scheme of masks whose labels or colours a table explains.

    Args:
        table: Each label or colour with its class name, or None for no class.
        class_names: The names of the table in the order of the class indices. None for the order
            of their first appearance.
        ignore_class: The label of pixels without a class in the examples, and in masks of labels
            where the table does not list it. If it is a class index or above 255, the examples
            have 255 instead. None if there are no such pixels.
        source: What to call the table in messages.
        name: The name of the argument that gave `class_names`, for the error.

    Returns:
        The scheme.

    Raises:
        ValueError: If the names do not fit each other, or `ignore_class` is None and the table
            has labels of no class.
    """
    found = tuple(dict.fromkeys(value for _, value in table if value is not None))
    reserved = None if ignore_class is None else UNLABELLED
    if class_names is not None:
        class_names = checked_class_names(name, class_names, reserved)
        if set(class_names) != set(found):
            raise ValueError(
                f"`{name}` must hold the class names of {source}: {', '.join(found)}. "
                f"Received: {', '.join(class_names)}."
            )
    names = checked_class_names(source.strip("`"), class_names or found, reserved)
    voids = [key for key, value in table if value is None]
    if ignore_class is None and voids:
        raise ValueError(
            f"`ignore_class` must be a label where {source} has labels of no class, such as "
            f"{voids[0]}. Received: None."
        )
    ignored = ignore_class
    if ignore_class is not None and not len(names) <= ignore_class <= MAX_IGNORE_CLASS:
        ignored = UNLABELLED
    is_colour = isinstance(table[0][0], tuple)
    stored: dict[int, int] = {}
    if ignore_class is not None and ignored is not None and not is_colour:
        stored[ignore_class] = ignored
    for key, value in table:
        index = ignored if value is None else names.index(value)
        assert index is not None
        stored[pack_colour(key) if isinstance(key, tuple) else key] = index
    void_labels = [label for label, index in stored.items() if index == ignored]
    void_label = void_labels[0] if len(void_labels) == 1 and not is_colour else None
    return LabelScheme(names, ignored, stored, is_colour, void_label=void_label, table=source)


def checked_class_names(
    name: str, values: Sequence[str] | None, ignore_class: int | None = UNLABELLED
) -> tuple[str, ...]:
    """Checks the class names of your own masks.

    Args:
        name: The argument's name, for the error.
        values: What was received.
        ignore_class: The label of pixels without a class, or None.

    Returns:
        `values` as a tuple.

    Raises:
        ValueError: If `values` is not two or more different names, or there are too many for
            masks of 8 bits.
    """
    names = validation.class_names(name, values)
    # A label that does not fit into 8 bits, or is no class index, becomes 255 in the examples.
    limit = MAX_IGNORE_CLASS + (ignore_class is None or ignore_class < UNLABELLED)
    if len(names) > limit:
        reason = "masks have 8 bits"
        if limit == UNLABELLED:
            reason = f"label {UNLABELLED} marks unlabelled pixels"
        raise ValueError(
            f"`{name}` must hold at most {limit} names, because {reason}. "
            f"Received: {len(names)} names."
        )
    return names


def checked_ignore_class(value: int | None) -> int | None:
    """Checks the label of pixels without a class.

    Args:
        value: What was received.

    Returns:
        `value`.

    Raises:
        ValueError: If it is neither None nor a label of 0 to 65535.
    """
    if value is None:
        return None
    if not validation.is_integer(value) or not 0 <= value <= MAX_LABEL:
        raise ValueError(
            f"`ignore_class` must be a label, 0 to {MAX_LABEL}, or None. Received: {value!r}."
        )
    return int(value)


def labels_argument(table: Mapping[int, str | None]) -> str:
    """Writes a table as the argument `labels`, which the command line turns into its option.

    Args:
        table: The class name of each label, None for no class.

    Returns:
        Text for a message.
    """
    return f"`labels={dict(table)}`"


def pack_colour(colour: Colour) -> int:
    """Packs a colour into one number of 24 bits.

    Args:
        colour: (red, green, blue), 0 to 255.

    Returns:
        The number.
    """
    red, green, blue = colour
    return red | (green << 8) | (blue << 16)


def unpack_colour(number: int) -> Colour:
    """Unpacks what `pack_colour` returned.

    Args:
        number: The number.

    Returns:
        (red, green, blue), 0 to 255.
    """
    return number & 255, (number >> 8) & 255, (number >> 16) & 255


def pack_colours(pixels: np.ndarray) -> np.ndarray:
    """Packs the colours of an image into numbers of 24 bits.

    Args:
        pixels: uint8 `(H, W, 3)`, or `(H, W, 4)` with an alpha channel, which does not count.

    Returns:
        uint32 `(H, W, 1)`.
    """
    if pixels.shape[-1] == 3:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], axis=-1)
    # Four bytes in memory are one little-endian number, red first.
    packed: np.ndarray = np.ascontiguousarray(pixels).view("<u4") & np.uint32(0xFFFFFF)
    return packed
