"""`petseg data shards`: a folder of images and masks to shards."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from petseg_cli.data_source import announce_layout, data_source
from petseg_cli.options import Channels, Classes, IgnoreClass, Images, Labels, Masks
from petseg_cli.streams import printable
from petseg_cli.tensorflow_logging import quiet_import


# Written out, because importing `petseg` imports TensorFlow. A test compares them with its own.
class ShardFormat(StrEnum):
    """Formats of `petseg.data.write_shards`."""

    TAR = "tar"
    TFRECORD = "tfrecord"


def shards(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="A folder of images and masks, as for --data.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The new folder.")],
    format: Annotated[  # noqa: A002 -- the name of the option
        ShardFormat, typer.Option(help="Format of the shards.")
    ] = ShardFormat.TAR,
    size: Annotated[int, typer.Option(min=1, metavar="N", help="Images in a shard.")] = 1000,
    classes: Classes = None,
    images: Images = "images",
    masks: Masks = "masks",
    ignore_class: IgnoreClass = "255",
    labels: Labels = None,
    channels: Channels = 3,
) -> None:
    """Write a folder of images and masks into shards: files of many images each."""
    with quiet_import():
        from petseg.data import write_shards
        from petseg.data.shard_files import INDEX

    if not root.expanduser().is_dir():
        raise typer.BadParameter(
            f"It must be a folder of images and masks. Received: {printable(root)}.",
            param_hint="ROOT",
        )
    how = {
        "images": images,
        "masks": masks,
        "ignore_class": ignore_class,
        "labels": labels,
        "channels": channels,
    }
    announce_layout(data_source(str(root.expanduser().absolute()), None, classes, **how))
    write_shards(root, out, format=format.value, size=size, class_names=classes, **how)
    index = json.loads((out / INDEX).read_text(encoding="utf-8"))
    count = sum(row["examples"] for row in index.values())
    typer.echo(f"Wrote {printable(out)}: {count:,} images and masks in {len(index):,} shards")
