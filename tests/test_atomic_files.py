"""Files are written completely or not at all."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from petseg_runtime.atomic_files import whole_file, write_json


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_gets_its_name_when_it_is_complete(tmp_path):
    with whole_file(tmp_path / "notes.txt") as part:
        part.write_text("half")
        assert part.parent == tmp_path
        assert part.suffix == ".txt"
        assert not (tmp_path / "notes.txt").exists()
    assert names_in(tmp_path) == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "half"


def test_suffix_of_two_parts_stays(tmp_path):
    with whole_file(tmp_path / "best.weights.h5") as part:
        part.touch()
        assert part.name.endswith(".weights.h5")


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("old")

    def fill_the_disk():
        with whole_file(tmp_path / "notes.txt") as part:
            part.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_the_disk()
    assert names_in(tmp_path) == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    events = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append((f"fsync {kind}", path.read_text()))
        fsync(descriptor)

    def note_replace(part, target):
        events.append(("replace", path.read_text()))
        return replace(part, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    with whole_file(path) as part:
        part.write_text("new")
    assert events == [("fsync file", "old"), ("replace", "old"), ("fsync folder", "new")]


def test_file_system_that_cannot_flush_folders_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError("not supported")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_json(tmp_path / "record.json", [1])
    assert names_in(tmp_path) == ["record.json"]


def test_file_that_cannot_be_flushed_keeps_the_old_one(tmp_path, monkeypatch):
    def fail(_):
        raise OSError("I/O error")

    write_json(tmp_path / "record.json", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="I/O error"):
        write_json(tmp_path / "record.json", "new")
    assert names_in(tmp_path) == ["record.json"]
    assert json.loads((tmp_path / "record.json").read_text()) == "old"


def test_two_processes_write_to_one_folder(tmp_path):
    path = tmp_path / "notes.txt"
    code = (
        "import sys, pathlib\n"
        "from petseg_runtime.atomic_files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as part:\n"
        "    part.write_text('theirs')\n"
    )
    with whole_file(path) as part:
        part.write_text("ours")
        # The other process writes the same file from beginning to end while ours is open.
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert path.read_text() == "theirs"
        assert part.read_text() == "ours"
    assert path.read_text() == "ours"
    assert names_in(tmp_path) == ["notes.txt"]


def test_json_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "record.json", {"a": object()})
    assert names_in(tmp_path) == []
    write_json(tmp_path / "record.json", {"a": [1]})
    assert json.loads((tmp_path / "record.json").read_text()) == {"a": [1]}


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "record.json"

    def fill_the_disk() -> None:
        with whole_file(path) as part:
            part.touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*record\.json'"):
        fill_the_disk()
