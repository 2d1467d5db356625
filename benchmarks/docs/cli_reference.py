"""Writes the options of each command into docs/cli.md.

    python -m benchmarks.docs.cli_reference [--check]

A block between `<!-- cli: COMMAND -->` and `<!-- end -->` gets the description, the arguments and
the options of `petseg COMMAND`. They are read from the signature of the command's function, so the
text does not depend on the width of a terminal or on the version of typer.
"""

import argparse
import enum
import inspect
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from petseg_cli import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
TYPE_NAMES = {Path: "PATH", str: "TEXT", int: "INTEGER", float: "FLOAT"}


def commands() -> dict[str, Callable[..., Any]]:
    """The function of each command by the command's name."""
    found = {}
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        found[name] = command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        assert group.typer_instance.registered_callback is not None
        callback = group.typer_instance.registered_callback.callback
        assert callback is not None
        found[str(group.name)] = callback
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            found[f"{group.name} {command.callback.__name__}"] = command.callback
    return found


def reference(name: str) -> str:
    """The Markdown of one command: description, usage, arguments and options."""
    function = commands()[name]
    hints = typing.get_type_hints(function, include_extras=True)
    arguments: list[list[str]] = []
    options: list[list[str]] = []
    usage = ["petseg", name]
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if hint is typer.Context:
            continue
        kind, info = typing.get_args(hint)[0], hint.__metadata__[0]
        if isinstance(info, ArgumentInfo):
            placeholder = info.metavar or parameter.name.upper()
            arguments.append([f"`{placeholder}`", info.help or ""])
            usage.append(_in_usage(placeholder, kind, parameter.default))
        else:
            required = parameter.default is inspect.Parameter.empty
            flags = _flags(parameter.name, kind, info)
            value = "" if kind is bool else f" {_placeholder(kind, info)}"
            if required:
                usage.append(f"{flags[0]}{value}")
            shown = ", ".join(f"`{flag}`" for flag in flags) + (f" `{value[1:]}`" if value else "")
            default = "required" if required else _default(parameter.default)
            options.append([shown, default, info.help or ""])
    description = (inspect.getdoc(function) or "").replace("\n", " ").replace("  ", "\n\n")
    parts = [description, f"```text\n{' '.join(usage)} [OPTIONS]\n```"]
    if arguments:
        parts.append(_table(["argument", "description"], arguments))
    if options:
        parts.append(_table(["option", "default", "description"], options))
    return "\n\n".join(parts)


def _in_usage(placeholder: str, kind: Any, default: Any) -> str:
    """An argument in the usage line: `PATH...` if it repeats, `[MODEL]` if it may be left out."""
    if typing.get_origin(kind) is list:
        placeholder += "..."
    return placeholder if default is inspect.Parameter.empty else f"[{placeholder}]"


def _flags(name: str, kind: Any, info: OptionInfo) -> list[str]:
    """The names of an option, such as `--data` and `--source`, or `--overlay` and its negation."""
    # In `Annotated[str, typer.Option("--data", "--source")]` typer has the first as `default`.
    declared = [info.default] if isinstance(info.default, str) else []
    declared += info.param_decls or ()
    if declared:
        return declared
    flag = name.replace("_", "-")
    return [f"--{flag}", f"--no-{flag}"] if kind is bool else [f"--{flag}"]


def _placeholder(kind: Any, info: OptionInfo) -> str:
    """What stands for the value of an option: its metavar, its choices, or the name of its type."""
    if info.metavar:
        return info.metavar
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    if typing.get_origin(kind) is tuple:
        return " ".join(TYPE_NAMES.get(part, "VALUE") for part in parts)
    kind = parts[0] if parts else kind
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "|".join(member.value for member in kind)
    return TYPE_NAMES.get(kind, "VALUE")


def _default(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "on"
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return f"`{value}`"


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, [":---"] * len(heading), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def with_reference(text: str) -> str:
    """The text with each block between `<!-- cli: COMMAND -->` and `<!-- end -->` replaced."""
    return re.sub(
        r"(<!-- cli: ([\w -]+?) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{reference(match[2])}\n\n{match[3]}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Writes the options of each command to docs/cli.md."""
    parser = argparse.ArgumentParser(
        description="Write the options of each command to docs/cli.md."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    args = parser.parse_args()
    before = PAGE.read_text(encoding="utf-8")
    missing = set(commands()) - set(re.findall(r"<!-- cli: ([\w -]+?) -->", before))
    if missing:
        sys.exit(f"{PAGE.name} has no block for: {', '.join(sorted(missing))}")
    after = with_reference(before)
    if after == before:
        return
    if args.check:
        sys.exit(f"{PAGE.name} is out of date: run python -m benchmarks.docs.cli_reference")
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
