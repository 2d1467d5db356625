"""The fast part of the bench. `python tests/robustness` is the long run; see docs/robustness.md."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from robustness import fuzz, interruptions, processes, readers
from robustness.interruptions import Campaign

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, limits and signals")

CASES = 12  # damaged files for each reader; images get more


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    fuzz.make_models_in_process(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETSEG_ROBUSTNESS_MODELS", str(folder))
        patch.setattr(readers, "MODELS", folder)
        yield folder


def told(failures) -> str:
    return "\n".join(f"{row.what}\n  {row.command}" for row in failures)


def test_every_reader_gives_a_result_or_one_error_that_names_the_file(models):  # noqa: ARG001
    found = [
        case
        for reader, row in readers.READERS.items()
        for case in fuzz.cases(reader, CASES + round(300 * row.share), seed=1)
    ]
    failures = fuzz.run_in_process(found)
    assert not failures, told(failures)


def test_a_wrong_error_much_time_and_much_memory_are_failures(tmp_path, monkeypatch):
    """The bench itself: each kind of fault is found, and the cases after it are read."""
    work, log = tmp_path / "work.json", tmp_path / "told.jsonl"
    case = {"reader": "record", "file": 0, "damage": [["truncate", 5]]}
    work.write_text(json.dumps([case] * 5))
    faults = iter(
        [
            lambda path: (_ for _ in ()).throw(ValueError(f"{path} is damaged")),
            lambda _path: (_ for _ in ()).throw(ValueError("damaged")),
            lambda _path: {}["key"],
            lambda _path: time.sleep(1.1),
            lambda _path: bytearray(300 * 2**20),
        ]
    )
    row = readers.READERS["record"]
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setitem(
        readers.READERS,
        "record",
        readers.Reader(row.files, lambda path: next(faults)(path), row.operations, 1),
    )
    monkeypatch.setattr(fuzz, "peak_memory", iter([0, 0, 0, 0, 0, 0, 0, 0, 0, 2**30]).__next__)
    fuzz.work(work, log)
    good, unnamed, wrong, slow, large = map(json.loads, log.read_text().splitlines())
    assert good is None
    assert unnamed.startswith("does not name the file")
    assert wrong.startswith("KeyError")
    assert slow == "took 1 seconds"
    assert large == "took 1024 MiB of memory"


@pytest.mark.parametrize(
    ("program", "silence", "ending"),
    [("time.sleep(90)", 1, "hung for 1 seconds"), ("os.abort()", 60, "ended with SIGABRT")],
)
def test_a_hang_and_a_crash_end_a_process(tmp_path, monkeypatch, program, silence, ending):
    monkeypatch.setattr(fuzz, "SILENCE", silence)
    (tmp_path / "told.jsonl").touch()
    process = subprocess.Popen([sys.executable, "-c", f"import os, time; {program}"])
    assert fuzz.wait(process, tmp_path / "told.jsonl") == ending


@pytest.mark.parametrize(
    ("command", "kind", "count"),
    [
        ("predict", "kill", 5),
        ("predict", "full", 4),
        ("export onnx", "kill", 2),
        ("train", "kill", 1),
    ],
)
def test_an_interrupted_command_loses_nothing(models, command, kind, count):
    found = interruptions.run_in_process(Campaign(command, kind, count, seed=1), models)
    assert not found["failures"], "\n".join(
        f"{r['what']}\n  {r['command']}" for r in found["failures"]
    )
    assert found["points"] > 5


@pytest.mark.parametrize("name", ["24", "images"])
def test_memory_is_bounded(models, name):
    failures = processes.check("memory", name, models)
    assert not failures, told(failures)


def test_two_runs_over_the_same_photos(models):
    failures = processes.check("concurrent", "predict_same_photos", models)
    assert not failures, told(failures)
