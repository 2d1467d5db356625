"""The command line, one module for each command.

It is a package beside `petseg`, because importing `petseg` imports TensorFlow and `--help` must
answer at once: commands import what they need when they run.
"""

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from petseg_cli.convert import convert
from petseg_cli.data import data
from petseg_cli.errors import in_options, is_expected, one_line
from petseg_cli.evaluate import evaluate
from petseg_cli.export import export
from petseg_cli.models import models
from petseg_cli.predict import predict
from petseg_cli.reproduce import reproduce
from petseg_cli.shards import shards
from petseg_cli.streams import prepare_streams, warn
from petseg_cli.train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (models, train, reproduce, evaluate, predict, export):
    app.command()(command)
# `petseg data` describes a dataset, and has the subcommands `convert` and `shards`.
data_app = typer.Typer(rich_markup_mode=None)
data_app.callback(invoke_without_command=True)(data)
data_app.command()(convert)
data_app.command()(shards)
app.add_typer(data_app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"petseg {version('petseg')}")
        raise typer.Exit


@app.callback()
def petseg(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Semantic segmentation on Keras 3: train, evaluate, predict and export."""


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command and exits.

    Args:
        args: The arguments after the program's name. By default those of the process.

    Raises:
        SystemExit: Always, with status 0, with 1 after an error, which is one line on stderr, or
            with 2 for wrong usage.
    """
    prepare_streams()
    args = sys.argv[1:] if args is None else args
    try:
        if not all(map(str, args)):
            # As a path, it would stand for the current folder.
            raise ValueError("An argument is empty. Is a variable of the shell not set?")
        with warnings.catch_warnings():  # puts back what a command changes
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            app(args, prog_name="petseg")
    except Exception as error:
        if not is_expected(error):
            raise
        typer.echo(f"petseg: error: {one_line(error)}", err=True)
        sys.exit(1)


def _show_warning(message: Warning | str, *_where: object) -> None:
    """Writes a warning in one line, without the place in the program that it came from."""
    warn(f"warning: {in_options(' '.join(str(message).split()))}")
