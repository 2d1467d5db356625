"""Faults of the workers of a Ray cluster: Python imports this module as it starts.

PETSEG_FULL_DISK names a folder. While there is a file `full` beside it, no more than `MOST_FILES`
files fit into the folder. A process that opens a file of the name `POISON` is killed, as where
memory runs out.
"""

import errno
import os
import sys
from pathlib import Path

MOST_FILES = 20
POISON = "poison.jpg"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FOLDER = os.environ.get("PETSEG_FULL_DISK", "")


def _fail(event, arguments):
    if event != "open" or isinstance(arguments[0], int):
        return
    path = os.fsdecode(arguments[0])
    if path.endswith(f"/{POISON}"):
        os._exit(137)
    if not (arguments[2] or 0) & WRITES:
        return
    if not path.startswith(f"{FOLDER}/") or not Path(FOLDER, "../full").exists():
        return
    if len(list(Path(FOLDER).iterdir())) >= MOST_FILES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


if FOLDER:
    sys.addaudithook(_fail)
