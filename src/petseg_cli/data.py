"""`petseg models` and `petseg data`: what there is."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from petseg_cli.data_source import Source
from petseg_cli.options import Classes, Data, DataDir
from petseg_cli.tensorflow_logging import quiet_import

if TYPE_CHECKING:
    from petseg.data import SplitSummary

SHEET_SIZE = (224, 224)
SHEET_BATCH_SIZE = 8


def models() -> None:
    """List the networks and the backbones they can stand on."""
    with quiet_import():
        import petseg

    console = Console()
    networks = Table("model", "network", box=box.SIMPLE_HEAD)
    for name, factory in petseg.MODELS.items():
        first_line, _, _ = (inspect.getdoc(factory) or "").partition("\n")
        networks.add_row(name, first_line.rstrip("."))
    console.print(networks)
    backbones = Table("backbone", "network", box=box.SIMPLE_HEAD)
    backbones.add_column("parameters", justify="right")
    for name, row in petseg.BACKBONES.items():
        network = row.build(include_top=False, weights=None, **row.options)
        backbones.add_row(name, row.source, f"{network.count_params() / 1e6:.1f} M")
    console.print(backbones)


def data(
    source: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="SAMPLE.png", help="Draw some examples into this file.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="List every bad file instead; exit with 1 if any.")
    ] = False,
) -> None:
    """Say what is in a dataset: counts, class shares, sizes."""
    with quiet_import():
        from petseg.comparison import sample_sheet
        from petseg.data import describe

    origin = Source(source, data_dir, classes)
    if verify:
        problems = origin.problems()
        for problem in problems:
            typer.echo(problem)
        typer.echo(f"{len(problems)} bad files." if problems else "Every file is well.")
        raise typer.Exit(bool(problems))
    splits = origin.splits(image_size=SHEET_SIZE, batch_size=SHEET_BATCH_SIZE, augment=False)
    Console().print(_summary_table(describe(origin.examples(), splits.class_names)))
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        sample_sheet(splits.train, splits.class_names).savefig(sheet, dpi=150)
        typer.echo(f"Wrote {sheet}")


def _summary_table(summaries: "Mapping[str, SplitSummary]") -> Table:
    table = Table("", box=box.SIMPLE_HEAD)
    for split in summaries:
        table.add_column(split, justify="right")

    def add(label: str, cells: list[str]) -> None:
        table.add_row(label, *cells)

    every = list(summaries.values())
    add("examples", [f"{summary.examples:,}" for summary in every])
    for name in every[0].class_shares:
        add(f"{name}, share of pixels", [f"{s.class_shares[name]:.1%}" for s in every])
    for label in ("smallest", "median", "largest"):
        sizes = [getattr(summary, label) for summary in every]
        add(f"{label} H x W", [f"{height} x {width}" for height, width in sizes])
    return table
