"""`petseg models`: the architectures, the backbones and the pretrained models."""

from collections.abc import Sequence

import typer

from petseg_cli.catalogue import ARCHITECTURES, BACKBONES, pretrained_models


def models() -> None:
    """List the architectures, the backbones and the pretrained models."""
    _print_table(
        "architecture",
        ["", "arXiv"],
        [[name, row.description, row.paper] for name, row in ARCHITECTURES.items()],
    )
    _print_table(
        "backbone",
        ["", "arXiv", "parameters"],
        [
            [name, row.title, row.paper, f"{row.parameters / 1e6:.1f} M"]
            for name, row in BACKBONES.items()
        ],
    )
    _print_table(
        "pretrained",
        ["image size", "mean IoU", "file"],
        [
            [
                f"{row.architecture}-{row.backbone}",
                f"{row.image_size[0]} x {row.image_size[1]}",
                f"{row.mean_iou:.3f}",
                f"{row.num_bytes / 1e6:.1f} MB",
            ]
            for row in pretrained_models()
        ],
    )
    typer.echo(
        "Pretrained on Oxford-IIIT Pet, scored on its test split. An architecture alone\n"
        'is the name of its first model. In Python: weights="pets".'
    )


def _print_table(heading: str, headings: Sequence[str], rows: Sequence[list[str]]) -> None:
    """Prints aligned columns: names and texts to the left, columns that hold figures to the right.

    Args:
        heading: Heading of the names.
        headings: Heading of each further column.
        rows: The name and the further cells of each row.
    """
    lines = [[heading, *headings], *rows]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [headings and column[-1][:1].isdigit() for column in columns]
    for line in lines:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, to_right, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())
    typer.echo()
