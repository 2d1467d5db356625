"""`petseg reproduce`: trains a run again and compares the scores."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from petseg_cli.options import DataDir
from petseg_cli.tensorflow_logging import quiet_import
from petseg_cli.train import train_with


def reproduce(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a finished run.")],
    out: Annotated[Path, typer.Option(metavar="NEW_DIR", help="Folder for the new run.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Where the folder of the data is now, if it was moved."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Train a run again with the same settings, and compare the scores.

    The settings are read from RUN_DIR. The same command continues a run that was stopped.
    """
    from rich.console import Console

    if out.resolve() == run.resolve():
        raise typer.BadParameter("It must be another folder than RUN_DIR.", param_hint="--out")
    with quiet_import():
        from petseg.comparison import score_table
        from petseg.experiment import Result
    recorded = Result.load(run)
    settings = recorded.settings if data is None else replace(recorded.settings, data=data)
    result, message = train_with(settings, settings.source(data_dir), out)
    splits = {"validation": recorded.validation, "test": recorded.test}
    again = {"validation, again": result.validation, "test, again": result.test}
    Console().print(score_table(splits | again))
    typer.echo(message)
    pairs = zip(splits.values(), again.values(), strict=True)
    difference = max(abs(one.mean_iou - other.mean_iou) for one, other in pairs)
    typer.echo(f"Largest difference of mean IoU: {difference:.4f}")
    before, now = (found.environment.get("versions", {}) for found in (recorded, result))
    changed = [name for name in before if before[name] != now.get(name)]
    if changed:
        listed = ", ".join(f"{name} ({before[name]}, now {now.get(name)})" for name in changed)
        typer.echo(f"Other versions than those of {run}: {listed}")
