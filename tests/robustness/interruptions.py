"""Kills and full disks: a command is interrupted at a write point, then run again.

One process imports TensorFlow and runs no operation of it. Each command runs in a fork of that.
"""

import fcntl
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from robustness import commands, injection
from robustness.commands import COMMANDS, Files, contents
from robustness.fuzz import Failure
from robustness.injection import Injection

SECONDS = 240  # for one command
CRASH = 70  # exit status of a command that raised an exception which it did not expect


@dataclass(frozen=True)
class Campaign:
    """Some interruptions of one command.

    Attributes:
        command: A key of `COMMANDS`.
        kind: "kill" or "full".
        count: How many.
        seed: Decides on the write points.
        only: One injection to repeat, or None.
        skip: How many of the drawn interruptions another campaign does.
    """

    command: str
    kind: str
    count: int
    seed: int = 0
    only: dict[str, object] | None = None
    skip: int = 0

    def repeat(self, found: Injection) -> str:
        """How to see one interruption again."""
        again = Campaign(self.command, self.kind, 1, self.seed, asdict(found))
        return f"python tests/robustness --interrupt '{json.dumps(asdict(again))}'"


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status (negative for a signal), and what it wrote to stderr."""

    status: int
    errors: str


def run_forked(command: str, folder: Path, found: Injection, log: Path) -> Ended:
    """Runs a command in a fork of this process."""
    reader, writer = os.pipe()  # not a file, whose size may be limited
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 2**20)
    pid = os.fork()
    if pid == 0:
        try:
            _run_child(command, folder, found, log, writer)
        finally:
            os._exit(CRASH)
    os.close(writer)
    since = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() - since > SECONDS:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reader)
            return Ended(CRASH, f"hung for {SECONDS} seconds")
        time.sleep(0.005)
    with os.fdopen(reader, errors="replace") as told:
        return Ended(os.waitstatus_to_exitcode(status), told.read())


def _run_child(command: str, folder: Path, found: Injection, log: Path, errors: int) -> None:
    from petseg_cli import main

    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(errors, 2)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", 1)
    temporary = folder.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    events = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    is_full = found.action.startswith("full") or found.file_size is not None
    if found.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (found.file_size, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # A full disk has no room for temporary files either.
    folders = (folder, temporary) if is_full else (folder,)
    injection.install(found, folders, events)
    try:
        main(COMMANDS[command].arguments(folder))
    except SystemExit as ending:
        sys.stderr.flush()
        os._exit(int(ending.code or 0))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(CRASH)


def run_here(campaign: Campaign, models: Path) -> dict[str, object]:
    """Interrupts a command many times. This process must not have run TensorFlow.

    Returns:
        "done": how many interruptions there were, "points": how many write points, "failures".
    """
    commands.register_tiny_architecture()
    failures: list[Failure] = []
    done = 0
    with tempfile.TemporaryDirectory() as root:
        user, before, after, points = _undisturbed(campaign.command, Path(root), models)
        for found in _injections(campaign, len(points)):
            place = Path(root) / "work" / "home"
            shutil.rmtree(place.parent, ignore_errors=True)
            shutil.copytree(user, place)
            problems, was_interrupted = _interrupt(campaign, place, found, before, after)
            done += was_interrupted
            at = points[found.position] if 0 <= found.position < len(points) else ""
            failures += [
                Failure(
                    f"{campaign.kind}: {campaign.command}",
                    f"{found.action} {at.replace(root, '')}: {problem}",
                    campaign.repeat(found),
                )
                for problem in problems
            ]
    return {"done": done, "points": len(points), "failures": [asdict(row) for row in failures]}


def _undisturbed(command: str, root: Path, models: Path) -> tuple[Path, Files, Files, list[str]]:
    """Runs a command without a fault, in the same place as those with one."""
    user, place = root / "user", root / "work" / "home"
    user.mkdir()
    COMMANDS[command].prepare(user, models)
    shutil.copytree(user, place)
    artifact = COMMANDS[command].artifact
    before = contents(place, artifact)
    ended = run_forked(command, place, Injection(), root / "log")
    if ended.status:
        raise RuntimeError(f"{command} fails without a fault: {ended.errors}")
    return user, before, contents(place, artifact), (root / "log").read_text().splitlines()


def _injections(campaign: Campaign, points: int) -> list[Injection]:
    if campaign.only is not None:
        return [Injection(**campaign.only)]  # type: ignore[arg-type]
    rng = random.Random(f"{campaign.command} {campaign.kind} {campaign.seed}")
    if campaign.kind == "full":
        every = [Injection(action, k) for action in ("full", "full once") for k in range(points)]
        every += [Injection("count", file_size=int(10 ** rng.uniform(0, 5))) for _ in range(points)]
    else:
        every = [
            Injection(action, k) for action in ("kill before", "kill after") for k in range(points)
        ]
        every += [
            Injection("kill later", k, delay=rng.choice((1e-5, 1e-4, 1e-3, 1e-2, 0.1)))
            for k in range(points)
        ]
    rng.shuffle(every)
    while len(every) < campaign.skip + campaign.count:
        k = rng.randrange(points)
        if campaign.kind == "full":
            every.append(Injection("count", file_size=int(10 ** rng.uniform(0, 5))))
        else:
            every.append(Injection("kill later", k, delay=10 ** rng.uniform(-5, -1.5)))
    return every[campaign.skip :][: campaign.count]


def _interrupt(
    campaign: Campaign, place: Path, found: Injection, before: Files, after: Files
) -> tuple[list[str], bool]:
    """Returns what went wrong, and whether the command was interrupted at all."""
    command = COMMANDS[campaign.command]
    log = place.parent / "log"
    ended = run_forked(campaign.command, place, found, log)
    problems = []
    state = contents(place, command.artifact)
    is_kill = found.action.startswith("kill")
    if is_kill and ended.status not in (0, -signal.SIGKILL, -signal.SIGALRM):
        problems.append(f"ended with {ended.status}: {ended.errors[-300:]}")
    if not is_kill and ended.status not in (0, 1):
        problems.append(f"ended with {ended.status}: {ended.errors[-600:]}")
    if not is_kill and ended.status == 1 and not _is_clear(ended.errors):
        problems.append(f"no clear error: {ended.errors[-300:]!r}")
    if ended.status == 0 and state != after:
        problems.append(f"ended with 0, but {_differences(state, after)}")
    problems += _lost(command, state, before, after)
    if not is_kill:
        strays = [name for name in state if "/.part-" in f"/{name}"]
        problems += [f"left {name}" for name in strays[:3]]
    again = run_forked(campaign.command, place, Injection(), log)
    if again.status:
        problems.append(f"the next run fails: {again.errors[-300:]}")
    elif (final := contents(place, command.artifact)) != after:
        problems.append(f"after the next run {_differences(final, after)}")
    return problems, ended.status != 0


def _is_clear(errors: str) -> bool:
    lines = errors.splitlines()
    return any(line.startswith("petseg:") for line in lines) and "Traceback" not in errors


def _lost(command: commands.Command, state: Files, before: Files, after: Files) -> list[str]:
    """What is neither as before nor as after the command."""
    problems = [
        f"lost {name}, which was there before"
        for name, content in before.items()
        if after.get(name) == content and state.get(name) != content
    ]
    if not command.is_final:
        return problems
    return problems + [
        f"{name} is neither old nor new: {state[name]}"
        for name in after
        if name in state
        and name != "shares.json"  # leaves out photos that failed
        and state[name] not in (before.get(name), after[name])
        and "was interrupted" not in state[name]  # says so when it is opened
    ]


def _differences(state: Files, wanted: Files) -> str:
    differing = sorted(n for n in {**state, **wanted} if state.get(n) != wanted.get(n))
    extra = [f"{name} is extra" for name in differing if name not in wanted]
    missing = [f"{name} is missing" for name in differing if name not in state]
    changed = [f"{name} is different" for name in differing if name in wanted and name in state]
    return ", ".join([*extra, *missing, *changed][:6])


def run_in_process(campaign: Campaign, models: Path) -> dict[str, object]:
    """Runs a campaign in a process that imports TensorFlow for it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        done = subprocess.run(
            [
                *(sys.executable, str(Path(__file__).parent), "--models", str(models)),
                *("--interrupt", json.dumps(asdict(campaign)), "--result", str(out)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if done.returncode or not out.exists():
            raise RuntimeError(f"{campaign} could not be run: {done.stderr[-2000:]}")
        record: dict[str, object] = json.loads(out.read_text())
        return record
