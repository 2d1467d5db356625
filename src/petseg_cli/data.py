"""`petseg data`: what a dataset holds."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from petseg_cli.data_source import PETS, SYNTHETIC, announce_download, announce_layout, data_source
from petseg_cli.errors import in_options
from petseg_cli.options import (
    Augment,
    Channels,
    Classes,
    Data,
    DataDir,
    IgnoreClass,
    Images,
    Labels,
    Masks,
    check_can_write,
)
from petseg_cli.streams import printable

if TYPE_CHECKING:
    from rich.table import Table

    from petseg.data import Splits, SplitSummary
    from petseg.data.verify import Problem

GRID_SIZE = (224, 224)
GRID_BATCH_SIZE = 8

# Masks with wrong labels, or with colours in place of labels, that are listed by name. Where there
# are more, it is not these files that are wrong.
LISTED_MASKS = 10

# The detail of a problem is "fault. remedy", or "fault. Received: value. remedy". Messages of
# Pillow inside a fault may have no full stop.
REMEDY_START = re.compile(r"\. (?!Received:)(?=[A-Z])|\.? (?=Replace the file)")


def data(
    context: typer.Context,
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    images: Images = "images",
    masks: Masks = "masks",
    ignore_class: IgnoreClass = "255",
    labels: Labels = None,
    channels: Channels = 3,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="SHEET.png", help="Draw examples with their masks into this file."),
    ] = None,
    augmented: Annotated[
        Path | None,
        typer.Option(metavar="SHEET.png", help="Draw training examples as --augment changes them."),
    ] = None,
    augment: Annotated[
        Augment, typer.Option(help="How training images are changed at random.")
    ] = Augment.LIGHT,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="List errors and warnings instead; exit with 1 on errors."),
    ] = False,
) -> None:
    """Describe a dataset: examples, class shares and image sizes."""
    if context.invoked_subcommand is not None:
        return
    sheets = {"--sheet": sheet, "--augmented": augmented}
    for option, file in sheets.items():
        if verify and file is not None:
            raise typer.BadParameter("It does not apply with --verify.", param_hint=option)
        check_can_write(file, option)
        if file is not None and data not in (PETS, SYNTHETIC):
            _check_outside(file, Path(data).expanduser(), option)
    source = data_source(
        data,
        data_dir,
        classes,
        images=images,
        masks=masks,
        ignore_class=ignore_class,
        labels=labels,
        channels=channels,
    )
    announce_download(source)
    announce_layout(source)
    if verify:
        problems = source.problems()
        for line in _problem_lines(problems):
            typer.echo(printable(line))
        errors = sum(problem.severity == "error" for problem in problems)
        typer.echo(
            f"Found {_number(errors, 'error')} and {_number(len(problems) - errors, 'warning')}."
            if problems
            else "No problems found."
        )
        raise typer.Exit(errors > 0)

    from rich.console import Console

    splits = source.splits(image_size=GRID_SIZE, batch_size=GRID_BATCH_SIZE, augment=False)
    Console().print(_table(source.describe()))
    if sheet is not None:
        _draw(splits, sheet)
    if augmented is not None:
        if augment is not Augment.NONE:
            with warnings.catch_warnings(action="ignore"):  # The labels were warned of.
                splits = source.splits(
                    image_size=GRID_SIZE, batch_size=GRID_BATCH_SIZE, augment=augment.value
                )
        _draw(splits, augmented)


def _draw(splits: "Splits", sheet: Path) -> None:
    """Draws training examples with their masks into a file."""
    from petseg.mask_grid import sample_grid

    grid = sample_grid(splits.train, splits.class_names, ignore_class=splits.ignore_class)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    grid.savefig(sheet, dpi=150)
    typer.echo(f"Wrote {printable(sheet)}")


def _check_outside(sheet: Path, folder: Path, option: str) -> None:
    """Refuses a sheet in a dataset folder, where it could replace an image or a mask, or be one."""
    # `images`, `train/masks` and the like may be links to other places.
    folders = (folder, *folder.glob("*/"), *folder.glob("*/*/"))
    if any(sheet.resolve().is_relative_to(each.resolve()) for each in folders):
        raise typer.BadParameter(
            f"{printable(sheet)} is inside the dataset {printable(folder)}. Choose a file outside.",
            param_hint=option,
        )


def _problem_lines(problems: "Sequence[Problem]") -> list[str]:
    """Lists the problems by file, and after them each remedy once.

    Args:
        problems: What was found.

    Returns:
        The lines. Problems of the dataset as a whole come after those of its files.
    """
    from petseg.data.label_checks import LabelFault

    of_dataset = get_args(LabelFault)
    lines: list[str] = []
    remedies: dict[str, str] = {}  # an ordered set, with the kind of the first problem
    masks: dict[str, int] = {}
    for problem in sorted(problems, key=lambda each: (each.kind in of_dataset, each.file)):
        fault, *remedy = REMEDY_START.split(in_options(problem.detail), maxsplit=1)
        for text in remedy:
            remedies.setdefault(text, problem.kind)
        if problem.kind == "mislabelled" or "one integer per pixel" in fault:
            masks[problem.kind] = masks.get(problem.kind, 0) + 1
            if masks[problem.kind] > LISTED_MASKS:
                continue
        lines.append(f"{problem.file}: {problem.kind}: {fault.rstrip('.')}")
    lines += [
        f"and {count - LISTED_MASKS:,} more {kind} masks like these"
        for kind, count in masks.items()
        if count > LISTED_MASKS
    ]
    todo = [f"{kind}: {text}" for text, kind in remedies.items()]
    return [*lines, *(["", "What to do:", *todo, ""] if todo else [])]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _table(summaries: "Mapping[str, SplitSummary]") -> "Table":
    """Builds a table with a column for each split and a row for each class."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("", box=box.SIMPLE_HEAD)
    for split in summaries:
        table.add_column(split, justify="right", no_wrap=True)
    every = list(summaries.values())
    table.add_row("examples", *(f"{summary.examples:,}" for summary in every))
    for name in every[0].class_shares:
        table.add_row(Text(f"{name}, pixels"), *(f"{s.class_shares[name]:.1%}" for s in every))
    unlabelled = [summary.unlabelled_share for summary in every]
    if any(unlabelled):
        table.add_row("unlabelled, pixels", *(f"{share:.1%}" for share in unlabelled))
    for label in ("smallest", "median", "largest"):
        sizes = [getattr(summary, label) for summary in every]
        table.add_row(f"{label} H x W", *(f"{height} x {width}" for height, width in sizes))
    return table
