"""Standard streams: closed ones, and file names that are not text."""

import io
import os
import sys
from pathlib import Path

import typer


def prepare_streams() -> None:
    """Makes standard input, output and error usable whatever state the process got them in.

    A closed stream (`2>&-`) is opened on the null device: otherwise the next file that is opened
    would take its number, and TensorFlow would write its log into that file. Characters that a
    stream cannot encode are written as escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if number == 0 else "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def printable(path: str | os.PathLike[str]) -> str:
    r"""Turns a path into text that any stream can show.

    Args:
        path: A path, or text.

    Returns:
        The text. Bytes that are not UTF-8 become escapes such as `\xe9`.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def warn(text: str) -> None:
    """Writes one line to stderr, after the name of the program.

    Args:
        text: The line.
    """
    typer.echo(f"petseg: {text}", err=True)
