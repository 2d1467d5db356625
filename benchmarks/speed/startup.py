"""What it costs to begin: `import petseg` beside `import keras, tensorflow`, and `petseg --help`.

Every measurement is a process of its own; they take turns, round after round.

    python benchmarks/startup.py --out docs/results/startup.json
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from petseg.environment import environment
from petseg.atomic_files import write_json

BASE = "import keras, tensorflow"
COMMANDS = {
    BASE: [sys.executable, "-c", BASE],
    "import petseg": [sys.executable, "-c", "import petseg"],
    "petseg --help": [str(Path(sys.executable).with_name("petseg")), "--help"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for command in COMMANDS.values():
        seconds(command)  # reads the files into memory, compiles them
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(args.rounds):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    record = {
        "unit": "seconds of a process, median; its share of the base's, median over the rounds",
        "settings": {"rounds": args.rounds, "base": BASE},
        "environment": environment(),
        "results": {
            name: {
                "seconds": round(statistics.median(values), 2),
                "of_the_base": round(
                    statistics.median(a / b for a, b in zip(values, times[BASE], strict=True)), 2
                ),
            }
            for name, values in times.items()
        },
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, record)


if __name__ == "__main__":
    main()
