"""The peak memory of a process, as Linux counts it.

    python tests/memory.py predict cat.jpg --model model.keras

runs a command of petseg and prints the bytes.
"""

import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def peak_memory() -> int:
    """The most bytes that this process has held.

    Not `ru_maxrss`: until `exec`, a new process counts the memory of the one that starts it.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def run_python(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs Python where this module can be imported, until a successful end."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=TESTS, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def peak_of_petseg(*arguments: object) -> int:
    """The most bytes that a command of petseg holds, which must not warn."""
    done = run_python(__file__, *arguments)
    assert done.stderr == ""
    return int(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    from petseg_cli import main

    try:
        main(sys.argv[1:])
    except SystemExit as end:
        if end.code:
            raise
    print(peak_memory())  # noqa: T201
