"""The options that several commands share, and how their text is read."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer


def parse_size(text: str) -> tuple[int, int]:
    """Reads "128" or "128x160" as (height, width)."""
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no size like 128 or 128x160.") from None


def parse_names(text: str) -> tuple[str, ...]:
    """Reads "cat, dog" as its parts."""
    return tuple(part.strip() for part in text.split(","))


def parse_numbers(text: str) -> tuple[float, ...]:
    """Reads "1,2.5" as its numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no numbers like 1,1,2.5.") from None


# `Any` where typer shall leave the type to the parser.
Data = Annotated[
    str,
    typer.Option("--data", "--source", help="pets, synthetic, or a folder of images and masks."),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Where tensorflow_datasets keeps the pets, or shall put them.")
]
Classes = Annotated[
    Any,
    typer.Option(parser=parse_names, metavar="A,B,...", help="The classes in a folder's masks."),
]
Binary = Annotated[bool, typer.Option("--binary", help="Two classes: the border counts as pet.")]
ImageSize = Annotated[
    Any,
    typer.Option(
        parser=parse_size,
        metavar="HEIGHT[xWIDTH]",
        help="What the network sees. By default what it was trained on.",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Images a batch.")]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL.keras", help="A model that was trained and saved.")
]


def nearest(name: str, known: Iterable[str]) -> str:
    """What to tell someone whose `name` is not `known`."""
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{name!r} is none of {', '.join(known)}.{hint}"
