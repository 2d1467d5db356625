"""Start-up time: `import petseg` beside `import keras, tensorflow`, and `petseg --help`.

Each measurement is a process of its own; they take turns.

    python -m benchmarks.speed.startup --out docs/results/startup.json
"""

import functools
import subprocess
import sys
from pathlib import Path

from benchmarks.common import (
    Record,
    argument_parser,
    median,
    median_ratio,
    seconds_of,
    take_turns,
)

BASE = "import keras, tensorflow"
COMMANDS = {
    BASE: [sys.executable, "-c", BASE],
    "import petseg": [sys.executable, "-c", "import petseg"],
    "petseg --help": [str(Path(sys.executable).with_name("petseg")), "--help"],
}


def main() -> None:
    """Measures all commands."""
    args = argument_parser(__doc__, seed=False, rounds=9).parse_args()
    record = Record(
        args.out,
        {"rounds": args.rounds, "base": BASE},
        rows="results",
        resume=False,
        unit="seconds of a process, median; its share of the base's, median over the rounds",
    )
    runs = {
        name: functools.partial(subprocess.run, command, check=True, capture_output=True)
        for name, command in COMMANDS.items()
    }
    for run in runs.values():
        run()  # reads the files into memory, compiles them
    turns = {name: functools.partial(seconds_of, run) for name, run in runs.items()}
    times = take_turns(turns, args.rounds)
    for name, values in times.items():
        ratio = median_ratio(values, times[BASE])
        record.add(name, {"seconds": median(values, 2), "of_the_base": ratio})


if __name__ == "__main__":
    main()
