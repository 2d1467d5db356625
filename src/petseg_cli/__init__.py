"""The command line: arguments in, one call, text out.

A package beside `petseg`, because importing `petseg` imports TensorFlow, and `--help` shall answer
at once: commands import what they need when they run.
"""

import re
import sys
from collections.abc import Sequence

import typer

from petseg_cli.data import data, models
from petseg_cli.evaluate import evaluate, export
from petseg_cli.predict import predict
from petseg_cli.train import train

app = typer.Typer(
    help="Semantic segmentation on Keras 3: look at data, train, evaluate, predict, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (models, data, train, evaluate, predict, export):
    app.command()(command)


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0, 1 with one line on stderr, or 2 for wrong usage."""
    try:
        app(args, prog_name="petseg")
    except Exception as error:
        if not is_expected(error):
            raise
        sys.exit(f"petseg: error: {one_line(error)}")


def is_expected(error: Exception) -> bool:
    """Whether the library raised it about what it was given, and not by a mistake of its own."""
    wraps_ours = type(error).__module__.startswith("tensorflow.")  # raised in a tf.data pipeline
    return wraps_ours or isinstance(error, ValueError | OSError | KeyError | ImportError)


def one_line(error: Exception) -> str:
    """Its message, without the layers that TensorFlow wraps around one from inside tf.data."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    wrapped = re.search(r"Error: (.*?)\s*Traceback \(most recent call last\)", text, re.DOTALL)
    return " ".join((wrapped[1] if wrapped else text).split())
