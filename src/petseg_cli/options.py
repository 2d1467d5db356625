"""The options that several commands share, how their text is read, and checks of files to write."""

import difflib
import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


def parse_size(text: str) -> tuple[int, int]:
    """Reads "128" or "128x160" as a size.

    Args:
        text: The text of an option.

    Returns:
        (height, width) in pixels.

    Raises:
        typer.BadParameter: If the text is something else.
    """
    height, separator, width = text.lower().partition("x")
    try:
        size = int(height), int(width if separator else height)
    except ValueError:
        size = 0, 0
    if min(size) < 1:
        raise typer.BadParameter(f"{text!r} is not a size such as 128 or 128x160.")
    return size


def parse_names(text: str) -> tuple[str, ...]:
    """Reads "cat, dog" as names.

    Args:
        text: The text of an option.

    Returns:
        Two or more different names.

    Raises:
        typer.BadParameter: If the text is something else.
    """
    names = tuple(part.strip() for part in text.split(","))
    if not all(names) or len(set(names)) != len(names) or len(names) < 2:
        raise typer.BadParameter(f"{text!r} is not two or more different names such as cat,dog.")
    return names


def parse_numbers(text: str, word: str | None = None) -> tuple[float, ...]:
    """Reads "1,2.5" as numbers.

    Args:
        text: The text of an option.
        word: What the option takes as well, for the error.

    Returns:
        The numbers.

    Raises:
        typer.BadParameter: If the text is something else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        other = "" if word is None else f", nor {word}"
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers such as 1,1,2.5{other}."
        ) from None


def parse_scales(text: str) -> tuple[float, ...] | str:
    """Reads "auto", or "1,1.5" as numbers.

    Args:
        text: The text of an option.

    Returns:
        The numbers, or "auto".

    Raises:
        typer.BadParameter: If the text is something else.
    """
    return text if text == "auto" else parse_numbers(text, "auto")


def parse_ignore_class(text: str) -> int | None:
    """Reads "11" as a label, and "none" as no label.

    Args:
        text: The text of an option.

    Returns:
        The label, or None.

    Raises:
        typer.BadParameter: If the text is something else.
    """
    if text.strip().lower() == "none":
        return None
    if not text.strip().isdecimal():
        raise typer.BadParameter(f"{text!r} is not a label such as 255, or none.")
    return int(text)


def parse_labels(text: str) -> str | dict[int, str | None]:
    """Reads "0=road,7=car,11=" as a table of labels, and all else as the path of one.

    Args:
        text: The text of an option.

    Returns:
        The class name of each label, None for no class; or the path.

    Raises:
        typer.BadParameter: If the text has an equals sign and is no such table.
    """
    if "=" not in text or Path(text).exists():
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(separator and label.strip().isdecimal() for label, separator, _ in pairs):
        raise typer.BadParameter(
            f"{text!r} is not a table such as 0=road,7=car,11= (11 means no class), nor a file."
        )
    return {int(label): name.strip() or None for label, _, name in pairs}


def parse_class_weights(text: str) -> tuple[float, ...] | str:
    """Reads "1,2.5" as numbers, and "balanced" as it is.

    Args:
        text: The text of an option.

    Returns:
        The numbers, or "balanced".

    Raises:
        typer.BadParameter: If the text is something else.
    """
    word = "balanced"
    return word if text.strip().lower() == word else parse_numbers(text, word)


def parse_cache(text: str) -> str | bool:
    """Reads "none" as no cache, and "memory" or a path as it is.

    Args:
        text: The text of an option.

    Returns:
        False, "memory", or the path of a folder.

    Raises:
        typer.BadParameter: If the path is that of a file.
    """
    name = text.strip().lower()
    if name in ("none", "memory"):
        return False if name == "none" else name
    if Path(text).expanduser().is_file():
        raise typer.BadParameter(f"{text} is a file. Give a folder, memory or none.")
    return text


def is_given(context: typer.Context, name: str) -> bool:
    """Tells options on the command line from defaults.

    Args:
        context: The context of the command.
        name: Name of the parameter.

    Returns:
        Whether the command line holds it.
    """
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


# The type is `Any` where the parser decides on it.
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "--source",
        metavar="DATA",
        help="pets, synthetic, or a folder of images and masks, or of shards.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where tensorflow_datasets keeps Oxford-IIIT Pet."),
]
Classes = Annotated[
    Any,
    typer.Option(
        parser=parse_names,
        metavar="A,B,...",
        help="Class names of a folder's masks, in the order of the labels.",
    ),
]
Images = Annotated[
    str,
    typer.Option(metavar="NAME", help="Name of a folder's folder of images, such as train."),
]
Masks = Annotated[
    str,
    typer.Option(metavar="NAME", help="Name of its folder of masks, such as trainannot."),
]
IgnoreClass = Annotated[
    Any,
    typer.Option(
        parser=parse_ignore_class,
        metavar="LABEL|none",
        help="Label of pixels without a class in a folder's masks.",
    ),
]
Labels = Annotated[
    Any,
    typer.Option(
        parser=parse_labels,
        metavar="FILE|0=A,7=B,...",
        help="What the labels or colours in a folder's masks mean: a CSV or JSON file, or a list. "
        "Default: classes.csv, class_dict.csv, labelmap.txt or classes.json in the folder, where "
        "--classes is left out.",
    ),
]


# Written out, because importing `petseg` imports TensorFlow. A test compares them with its own.
class Augment(StrEnum):
    """Augmentations of `petseg.experiment`."""

    NONE = "none"
    LIGHT = "light"
    STRONG = "strong"


Channels = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Channels of a folder's images: 3 for RGB, 1 for grey, or more."
    ),
]
Binary = Annotated[
    bool, typer.Option("--binary", help="Two classes of pets: the border counts as pet.")
]
ImageSize = Annotated[
    Any,
    typer.Option(
        parser=parse_size,
        metavar="H[xW]",
        help="Height and width at which the model sees images, in pixels.",
    ),
]
# The same, where there is a model that knows its size.
ModelImageSize = Annotated[
    Any,
    typer.Option(
        parser=parse_size,
        metavar="H[xW]",
        help="Height and width at which the model sees images, in pixels. Default: the size it "
        "was trained at.",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, metavar="N", help="Images in a batch.")]


# `petseg_runtime.validation` has such a function too, but it imports NumPy, and these checks run
# before anything large is imported.
def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggests what looks like a name.

    Args:
        name: What was received.
        known: What is allowed.

    Returns:
        A sentence that begins with a space, or nothing where no name is similar.
    """
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f" Did you mean {near[0]}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Explains that a name is not known.

    Args:
        name: What was received.
        known: What is allowed.

    Returns:
        A sentence that lists the known names.
    """
    known = list(known)
    return f"{name!r} is not one of {', '.join(known)}.{did_you_mean(name, known)}"


def check_json_path(path: Path | None, option: str) -> None:
    """Refuses a file for JSON that could not be written, or that may hold something else.

    Args:
        path: The file, or None where the option is not given.
        option: The option's name.

    Raises:
        typer.BadParameter: If the name does not end in .json, or see `check_can_write`.
    """
    check_can_write(path, option)
    if path is not None and path.suffix.lower() != ".json":
        raise typer.BadParameter(f"It must end in .json. Received: {path}.", param_hint=option)


def check_can_write(path: Path | None, option: str) -> None:
    """Refuses a file that could not be written, before any work is done for it.

    Args:
        path: The file, or None where the option is not given.
        option: The option's name.

    Raises:
        typer.BadParameter: If the path is a folder, or its folder cannot be made or written to.
    """
    if path is None:
        return
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder.", param_hint=option)
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        reason = "cannot be written to" if folder.is_dir() else "is not a folder"
        raise typer.BadParameter(f"{folder} {reason}.", param_hint=option)
