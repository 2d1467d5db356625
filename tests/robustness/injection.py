"""Faults at chosen write points of a process, by an audit hook of Python.

A write point is an event that changes files below one of some folders: opening for writing, rename,
removal, new folders. Each is counted; at one of them the process ends, or the disk is "full".
"""

import errno
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Events and the position of the path in their arguments.
EVENTS = {
    "open": 0,
    "os.rename": 0,
    "os.remove": 0,
    "os.mkdir": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
    "os.link": 1,
    "os.symlink": 1,
    "shutil.move": 0,
    "shutil.copyfile": 1,
    "shutil.rmtree": 0,
}
# What needs room on the disk.
NEED_ROOM = {"open", "os.mkdir", "os.rename", "os.link", "os.symlink"}
ACTIONS = ("count", "kill before", "kill after", "kill later", "full", "full once")


@dataclass(frozen=True)
class Injection:
    """What happens at a write point.

    Attributes:
        action: One of `ACTIONS`. "kill before" ends the process instead of the write, "kill after"
            at the next event of any kind, "kill later" after a delay, which may be in the middle of
            C++ code. "full" makes every write from there on fail, "full once" that one alone.
        position: Number of the write point, from 0.
        delay: Seconds until "kill later".
        file_size: No file may grow beyond this number of bytes, or None.
    """

    action: str = "count"
    position: int = -1
    delay: float = 0.0
    file_size: int | None = None


class _Hook:
    def __init__(self, injection: Injection, folders: tuple[Path, ...], log: int):
        self.injection = injection
        self.folders = tuple(f"{os.path.realpath(folder)}/" for folder in folders)
        self.log = log
        self.count = 0
        self.ends = False
        self.is_ended = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_ended:  # the kill is an event itself
            return
        if self.ends:
            self._end()
        if event not in EVENTS or not self._counts(event, arguments):
            return
        number, self.count = self.count, self.count + 1
        action = self.injection.action
        if action == "count" and self.injection.file_size is None:  # the log is a file too
            os.write(self.log, f"{event} {arguments[EVENTS[event]]!r}\n".encode(errors="replace"))
        elif action.startswith("full"):
            self._fill(number, event, arguments[EVENTS[event]])
        elif number == self.injection.position:
            self._kill(action)

    def _fill(self, number: int, event: str, path: object) -> None:
        once = self.injection.action == "full once"
        position = self.injection.position
        if event in NEED_ROOM and (number == position if once else number >= position):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _kill(self, action: str) -> None:
        if action == "kill before":
            self._end()
        elif action == "kill after":
            self.ends = True
        else:
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, self.injection.delay))

    def _end(self) -> None:
        self.is_ended = True
        os.kill(os.getpid(), signal.SIGKILL)

    def _counts(self, event: str, arguments: tuple[Any, ...]) -> bool:
        path = arguments[EVENTS[event]]
        if event == "open" and not (arguments[2] or 0) & WRITES:
            return False
        if isinstance(path, int) or path is None:
            return False
        text = os.fsdecode(path)
        if not text.startswith("/"):
            # Relative to an open folder: what `shutil.rmtree` removes.
            if event in ("os.remove", "os.rmdir") and arguments[1] not in (-1, None):
                return True
            text = os.path.join(os.getcwd(), text)
        return f"{text}/".startswith(self.folders)


def install(injection: Injection, folders: tuple[Path, ...], log: int) -> None:
    """Adds the hook to this process, for the rest of its life."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # write points are in other threads too
    sys.addaudithook(_Hook(injection, folders, log))
