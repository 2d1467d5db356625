"""What the benchmark scripts share: arguments, resumable records, timing, worker processes."""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"

Measured = TypeVar("Measured")


def bare_parser(description: str | None) -> argparse.ArgumentParser:
    """Builds a parser without arguments, which answers `--help`.

    Args:
        description: The script's docstring; its first line is shown.

    Returns:
        The parser, to which a script can add arguments.
    """
    return argparse.ArgumentParser(description=(description or "").partition("\n")[0])


def argument_parser(
    description: str | None,
    *,
    data_dir: Literal["optional", "required"] | None = None,
    peers: bool = False,
    seed: bool = True,
    rounds: int | None = None,
    seconds: float | None = None,
) -> argparse.ArgumentParser:
    """Builds the parser of a script, which always has `--out`.

    Args:
        description: The script's docstring; its first line is shown.
        data_dir: Whether there is a `--data-dir`, and whether it must be given.
        peers: Whether there is a `--peers`.
        seed: Whether there is a `--seed`.
        rounds: Default of `--rounds`; None for scripts that time nothing.
        seconds: Default of `--seconds`; None for scripts that measure a fixed number of steps.

    Returns:
        The parser, to which a script can add arguments of its own.
    """
    parser = bare_parser(description)
    parser.add_argument("--out", type=Path, required=True, help="file or folder to write")
    if data_dir is not None:
        parser.add_argument(
            "--data-dir",
            type=Path,
            required=data_dir == "required",
            help="folder of tensorflow_datasets with Oxford-IIIT Pet",
        )
    if peers:
        parser.add_argument(
            "--peers", type=Path, required=True, help="folder that make_peers.sh filled"
        )
    if seed:
        parser.add_argument("--seed", type=int, default=0)
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, help="rounds in which the candidates take turns"
        )
    if seconds is not None:
        parser.add_argument(
            "--seconds", type=float, default=seconds, help="length of each measurement"
        )
    return parser


class Record:
    """A JSON file of results by name, which can be resumed.

    The file also holds the settings, the seed among them, the versions of the packages and the
    hardware of the last run.

    Args:
        path: The file.
        settings: What the results depend on, ready for JSON.
        rows: Key of the results in the file.
        resume: Whether to keep the results that the file already holds.
        **facts: Further entries of the file, such as `unit`.

    Raises:
        SystemExit: If the file holds results with other settings.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        rows: str = "rows",
        *,
        resume: bool = True,
        **facts: Any,
    ):
        before: dict[str, Any] = {}
        if resume and path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
        self.path = path
        self.rows: dict[str, Any] = before.get(rows, {})
        settings = json.loads(json.dumps(settings))  # tuples become lists, as in the file
        if self.rows:
            self._check_settings(before.get("settings", {}), settings)
        self._content = {**before, **facts, "settings": settings, rows: self.rows}

    def _check_settings(self, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        changed = [
            f"{name} was {before[name]}, is {value}"
            for name, value in settings.items()
            if name in before and before[name] != value
        ]
        if changed:
            raise SystemExit(
                f"{self.path} holds results with other settings: {'; '.join(changed)}. "
                "Choose another --out, or the same settings to add to it."
            )

    def missing(self, names: Iterable[str]) -> Iterator[str]:
        """Yields the names that have no result yet.

        Args:
            names: Names of all results that are wanted.

        Yields:
            Each name that is not in the file at the time.
        """
        for name in names:
            if name not in self.rows:
                yield name

    def add(self, name: str, row: Any) -> None:
        """Adds a result, prints it and writes the file.

        Args:
            name: Name of the result.
            row: The result, ready for JSON.
        """
        self.rows[name] = row
        print(name, json.dumps(row), flush=True)
        self.write()

    def get(self, name: str, default: Any) -> Any:
        """Returns an entry of the file.

        Args:
            name: Key of the entry.
            default: What to return where there is none.

        Returns:
            The entry.
        """
        return self._content.get(name, default)

    def write(self, **facts: Any) -> None:
        """Writes the file with the environment of this process.

        Args:
            **facts: Further entries of the file.
        """
        from petseg.environment import environment
        from petseg_runtime.atomic_files import write_json

        self._content |= {"environment": environment(), **facts}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self._content)


def seconds_of(run: Callable[[], Any]) -> float:
    """Measures one call.

    Args:
        run: What to call.

    Returns:
        The seconds that it takes.
    """
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(
    measurements: Mapping[str, Callable[[], Measured]], rounds: int
) -> dict[str, list[Measured]]:
    """Takes every measurement once a round, so that other load on the machine affects all alike.

    Args:
        measurements: A function for each candidate that measures it once.
        rounds: Number of rounds.

    Returns:
        The values of each candidate, one a round.
    """
    values: dict[str, list[Measured]] = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, measure in measurements.items():
            values[name].append(measure())
    return values


def median(values: Iterable[float], digits: int) -> float:
    """Returns the rounded median.

    Args:
        values: The values.
        digits: Digits after the point.

    Returns:
        The median.
    """
    return round(statistics.median(values), digits)


def median_ratio(values: Sequence[float], base: Sequence[float], digits: int = 2) -> float:
    """Returns the rounded median over the rounds of each value's ratio to the base's.

    Args:
        values: Values of a candidate, one a round.
        base: Values of what it is compared with, one a round.
        digits: Digits after the point.

    Returns:
        The median ratio.
    """
    return median((value / one for value, one in zip(values, base, strict=True)), digits)


class Worker:
    """A process that answers each line of JSON on its stdin with one on its stdout.

    `about` is what it says of itself in its first line.

    Args:
        *command: Program and arguments.
    """

    def __init__(self, *command: str | Path):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.about = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise SystemExit(f"This worker ended without an answer: {' '.join(self.command)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for the answer.

        Args:
            **request: What the worker is asked for.

        Returns:
            Its answer.

        Raises:
            SystemExit: If the worker ends without an answer.
        """
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()

    def stop(self) -> None:
        """Closes the worker's stdin, at which it ends, and waits for that."""
        self.process.communicate()
