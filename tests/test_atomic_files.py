"""Files are written whole or not at all."""

import json

import pytest

from petseg.atomic_files import whole_file, write_json


def test_file_gets_its_name_when_it_is_whole(tmp_path):
    with whole_file(tmp_path / "notes.txt") as part:
        part.write_text("half")
        assert part.suffix == ".txt"
        assert not (tmp_path / "notes.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("old")

    def fill_the_disk():
        with whole_file(tmp_path / "notes.txt") as part:
            part.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_the_disk()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_json_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "record.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "record.json", {"a": [1]})
    assert json.loads((tmp_path / "record.json").read_text()) == {"a": [1]}
