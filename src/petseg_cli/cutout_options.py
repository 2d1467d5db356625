"""The options of `petseg predict` that say how a photo is cut out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from petseg_cli.streams import printable


class Edges(StrEnum):
    """Edges of what is cut out."""

    HARD = "hard"
    FEATHERED = "feathered"
    MATTED = "matted"


CutoutOption = Annotated[
    bool, typer.Option("--cutout", help="Write the photo with a transparent background.")
]
EdgesOption = Annotated[
    Edges | None,
    typer.Option(
        help="Edges of the cut-out. Default: feathered. matted follows hair, is slower and "
        "needs petseg[matting]."
    ),
]
BackgroundOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLOUR|blur|PHOTO",
        help="Put the cut-out before a colour (white, #ff8800), the blurred photo or another one.",
    ),
]
CropOption = Annotated[bool, typer.Option("--crop", help="Crop the cut-out to what it shows.")]


def cutout_arguments(
    cutout: bool, edges: Edges | None, background: str | None, crop: bool
) -> dict[str, Any]:
    """Checks the options and turns them into arguments of `petseg.cutout`.

    Args:
        cutout: Whether `--cutout` is given.
        edges: `--edges`.
        background: `--background`.
        crop: `--crop`.

    Returns:
        The arguments; none without `--cutout`. A photo as background is an array.

    Raises:
        typer.BadParameter: If `--cutout` is missing, or the background is none of its choices.
        ImportError: If matting is not installed.
    """
    given = {"--edges": edges, "--background": background, "--crop": crop or None}
    named = [name for name, value in given.items() if value is not None]
    if named and not cutout:
        raise typer.BadParameter("It needs --cutout.", param_hint=", ".join(named))
    if not cutout:
        return {}
    edges = edges or Edges.FEATHERED
    if edges is Edges.MATTED:
        from petseg_runtime.alpha import check_matting

        check_matting()
    return {"edges": str(edges), "onto": _onto(background), "crop": crop}


def _onto(background: str | None) -> Any:
    """Reads a photo, once for all cut-outs."""
    from petseg_runtime.cutouts import read_background

    if background is None:
        return None
    try:
        return read_background(background)
    except FileNotFoundError:
        raise typer.BadParameter(
            "It must be a colour such as white or #ff8800, blur, or the path of a photo. Received: "
            f"{printable(Path(background))}.",
            param_hint="--background",
        ) from None
