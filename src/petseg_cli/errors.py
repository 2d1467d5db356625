"""Errors as one line that speaks of options."""

import ast
import re
import shlex

from petseg_cli.streams import printable

# The option that sets an argument of the library, where the two have different names.
OPTIONS = {
    "class_names": "--classes",
    "name": "--data",
    "out": "--out",
    "root": "--data",
    "source": "SOURCE",
    "calibration": "--data",
}
SAME_NAME = (
    "argmax",
    "backbone",
    "batch_size",
    "binary",
    "cache",
    "channels",
    "class_weights",
    "classes",
    "config",
    "data_dir",
    "devices",
    "epochs",
    "frozen_epochs",
    "ignore_class",
    "image_size",
    "images",
    "labels",
    "learning_rate",
    "loss",
    "masks",
    "optimizer",
    "oversample",
    "quantize",
    "scales",
    "seed",
    "serving",
    "tile",
    "tta",
    "weights",
)
OPTIONS |= {name: f"--{name.replace('_', '-')}" for name in SAME_NAME}

# What is raised about the input, and not by a fault in the program.
EXPECTED = (ValueError, OSError, KeyError, ImportError, MemoryError)

# An argument in an error, such as `image_size` or `weights='pets'`.
ARGUMENT = re.compile(r"`(\w+)(?:=['\"]?([^`'\"]*)['\"]?)?`")

# A table of labels as an argument, such as `labels={0: 'road', 11: None}`.
LABELS = re.compile(r"`labels=(\{[^`]*\})`")

# What else the library says about Python, and what the command line says instead.
PHRASES = (
    (r"'imagenet', 'pets', None,", "imagenet, pets, none,"),
    (r"(?<!`)backbone='(\w+)'", r"--backbone \1"),
    (r" Use the default arguments, or `weights='imagenet'`\.", " Use --weights imagenet."),
    (r"` must be None for", "` must be left out for"),
    (r"`petseg\.data\.verify_folder`", "`petseg data --verify`"),
    (r" To silence this: `warnings\.simplefilter\([^`]*\)`\.", ""),
    (r"`petseg\.export`", "`petseg export`"),
)


def is_expected(error: Exception) -> bool:
    """Tells an error about the input from a fault in the program.

    Args:
        error: The error.

    Returns:
        Whether the error is about the input.
    """
    is_from_pipeline = type(error).__module__.startswith("tensorflow.")  # wraps one of ours
    return is_from_pipeline or isinstance(error, EXPECTED)


def one_line(error: Exception) -> str:
    """Returns the message of an error in one line, with options instead of arguments.

    Args:
        error: The error. The text that TensorFlow puts around an error from inside a `tf.data`
            pipeline is removed.

    Returns:
        One line of text.
    """
    if isinstance(error, MemoryError):
        return f"Not enough memory. {error}".strip()
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    wrapped = re.search(r"Error: (.*?)\s*Traceback \(most recent call last\)", text, re.DOTALL)
    text = " ".join((wrapped[1] if wrapped else text).split()) or type(error).__name__
    return printable(in_options(text))


def in_options(text: str) -> str:
    """Replaces the names of Python arguments by those of options.

    Args:
        text: A message of the library, such as "`class_names` must hold 3 names."

    Returns:
        The same message about options, such as "--classes must hold 3 names."
    """
    for pattern, phrase in PHRASES:
        text = re.sub(pattern, phrase, text)
    text = LABELS.sub(_labels_option, text)

    def option(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in OPTIONS:
            return match[0]
        return OPTIONS[name] if value in (None, "", "True") else f"{OPTIONS[name]} {value}"

    return ARGUMENT.sub(option, text)


def _labels_option(match: re.Match[str]) -> str:
    """Writes a table of labels as the option: `--labels 0=road,11=`."""
    table = ast.literal_eval(match[1])
    value = ",".join(f"{label}={name or ''}" for label, name in table.items())
    return f"--labels {shlex.quote(value)}"
