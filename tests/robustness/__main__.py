"""The long run, and single cases again.

    python tests/robustness [--minutes 20] [--jobs 2] [--seed 0]
    python tests/robustness --case '{"reader": "image", ...}'

The long run writes docs/results/robustness.json.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from robustness import fuzz  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", help="read one damaged file again")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        fuzz.work(*options.work)
    elif options.case:
        print(fuzz.run_here(fuzz.Case(**json.loads(options.case))))


if __name__ == "__main__":
    main()
