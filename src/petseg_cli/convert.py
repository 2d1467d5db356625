"""`petseg data convert`: outlines of objects to a folder of masks."""

from pathlib import Path
from typing import Annotated

import typer

from petseg_cli.streams import printable
from petseg_cli.tensorflow_logging import quiet_import


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A COCO JSON file, the data.yaml of a YOLO dataset with outlines, or a folder "
            "with one of these or with the JSON files of LabelMe.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The new folder.")],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder of COCO's images, where they are not near the file."
        ),
    ] = None,
) -> None:
    """Convert COCO, YOLO or LabelMe annotations to a folder of images and masks."""
    with quiet_import():
        from petseg.data import convert_labels

    convert_labels(source, out, images=images)
    count = sum(1 for _ in out.rglob("masks/*.png"))
    typer.echo(f"Wrote {printable(out)}: {count:,} images, their masks, and classes.csv")
    typer.echo(f"Check them: petseg data --data {printable(out)} --verify")
