"""What the bench has found, one small test each."""

import json
import math
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from robustness import commands

import petseg
from petseg import Evaluation, ModelInfo
from petseg.data.masks import read_labels
from petseg.experiment import Result, Settings, find_result, run
from petseg.models.layers import SegmentationOutput
from petseg.plots import plot_history
from petseg.run_state import RunState
from petseg.weight_files import load_file
from petseg_runtime.archives import LARGEST_MEMBER
from petseg_runtime.atomic_files import whole_file
from petseg_runtime.image_io import read_image
from petseg_runtime.keras_file import read_keras_info
from petseg_runtime.output_notes import photo_of
from petseg_runtime.part_folders import part_folder
from petseg_runtime.validation import is_number

DEEP = "[" * 100_000


def record(**changes):
    return json.dumps({**json.loads(ModelInfo(("a", "b")).to_json()), **changes})


@pytest.mark.parametrize("text", [DEEP, record(input_range=[0, 10**400])])
def test_a_model_record_raises_nothing_but_value_errors(text):
    with pytest.raises(ValueError, match=r"JSON|input_range"):
        ModelInfo.from_json(text)


def test_an_integer_beyond_floats_is_no_number():
    assert not is_number(10**400)


def test_deep_arguments_of_a_record_can_be_written():
    deep = json.loads("[" * 300 + "]" * 300)
    assert ModelInfo(("a", "b"), arguments={"x": deep}).to_dict()["arguments"] == {"x": deep}


@pytest.mark.parametrize(
    "config", [DEEP, '{"layers": {"registered_name": "petseg>SegmentationOutput"}}', "[1]"]
)
def test_a_damaged_configuration_names_the_file(tmp_path, config):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(ValueError, match=r"model\.keras"):
        read_keras_info(path)


def test_a_small_archive_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (LARGEST_MEMBER + 1))
    with pytest.raises(ValueError, match=r"model\.keras.*claims"):
        read_keras_info(path)


def scores(**changes):
    good = {
        "class_names": ["a", "b"],
        "confusion": [[1, 2], [3, 4]],
        "loss": 0.5,
        "boundary_f1": None,
        "examples": 1,
    }
    return json.dumps({**good, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"confusion": 3},
        {"confusion": [[1, 2]]},
        {"confusion": [[1, 2], [3, -4]]},
        {"confusion": [[0, 0], [0, 0]]},
        {"confusion": [[10**30, 0], [0, 0]]},
        {"class_names": "ab"},
        {"class_names": ["a", {}]},
        {"loss": {}},
        {"loss": "0.5"},
        {"examples": {}},
    ],
    ids=str,
)
def test_damaged_scores_are_refused(changes):
    with pytest.raises(ValueError, match="Evaluation"):
        Evaluation.from_json(scores(**changes))
    assert Evaluation.from_json(scores()).examples == 1


def test_damaged_scores_name_the_file(tmp_path):
    path = tmp_path / "scores.json"
    for data in (b"\xff", DEEP.encode()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"scores\.json"):
            Evaluation.from_json(path)


ENDLESS = {"settings": {"architecture": "unet"}, "validation": json.loads(scores())}
ENDLESS |= {"test": ENDLESS["validation"], "parameters": math.inf}


@pytest.mark.parametrize("text", [DEEP, json.dumps(ENDLESS)], ids=["deep", "endless"])
def test_a_damaged_result_names_the_file(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match=r"result\.json is damaged"):
        Result.load(tmp_path)


def test_a_damaged_run_names_the_file(tmp_path):
    (tmp_path / "run.json").write_text(DEEP)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        RunState.read(tmp_path / "run.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epoch,loss\n",
        "epoch,loss\n0,x\n",
        "epoch,loss\n0\n",
        "epoch\n0\n",
        "epoch,loss\n0,1,2\n",
        f"epoch,loss\n0,{'1' * 200_000}\n",
    ],
)
def test_a_damaged_history_names_the_file(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"history\.csv"):
        plot_history(path)


def test_damaged_weights_name_the_file(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    path = tmp_path / "some.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"some\.weights\.h5.*cannot be read"):
        load_file(model, path)


def test_a_note_of_somebody_else_may_be_anything():
    assert photo_of(DEEP) is None


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_a_pipe_called_like_an_image_does_not_block(tmp_path, read):
    os.mkfifo(tmp_path / "cat.png")
    with pytest.raises(ValueError, match=r"cat\.png is a pipe"):
        read(tmp_path / "cat.png")


def test_names_that_are_not_text_can_be_trained_on(tmp_path):
    for number in range(12):
        name = os.fsdecode(b"caf\xe9%d.png" % number)
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = np.full((32, 32, 3), number % 2, np.uint8)
            Image.fromarray(pixels if folder == "images" else pixels[..., 0]).save(
                tmp_path / folder / name
            )
    data = petseg.load_folder(tmp_path, class_names=("a", "b"), image_size=(32, 32))
    splits = (data.train, data.val, data.test)
    assert sum(len(images) for split in splits for images, _ in split) == 12


def test_part_files_of_ended_processes_are_removed(tmp_path):
    process = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(process, 0)
    (tmp_path / f".part-{process}-a.json").touch()
    (tmp_path / f".part-{process}-b.json").touch()
    (tmp_path / f".part-{os.getppid()}-a.json").touch()
    (tmp_path / ".part-own-a.json").touch()
    with whole_file(tmp_path / "a.json") as part:
        part.touch()
    assert {path.name for path in tmp_path.iterdir()} == {
        *("a.json", f".part-{process}-b.json", ".part-own-a.json"),
        f".part-{os.getppid()}-a.json",
    }


def test_part_folders_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".part-old").mkdir()
    (tmp_path / ".part-old" / "model.onnx").touch()
    with part_folder(tmp_path) as mine, part_folder(tmp_path) as other:
        assert {path.name for path in tmp_path.iterdir()} == {mine.name, other.name}
    assert not list(tmp_path.iterdir())


def small_model(value):
    images = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(2, 1)
    output = SegmentationOutput(ModelInfo(("a", "b")).to_dict())(layer(images), images)
    layer.set_weights([np.full_like(weight, value) for weight in layer.get_weights()])
    return keras.Model(images, output)


def test_openvino_refuses_the_weights_of_another_export(tmp_path):
    pytest.importorskip("openvino")
    for value in (1, 2):
        petseg.export(small_model(value), tmp_path / f"{value}.xml")
    (tmp_path / "1.bin").replace(tmp_path / "2.bin")
    with pytest.raises(ValueError, match=r"2\.xml cannot be opened: 2\.bin does not belong to it"):
        petseg.Runtime(tmp_path / "2.xml")


def test_an_export_that_cannot_be_moved_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = tmp_path / "saved"
    petseg.export(small_model(1), path)
    images = np.ones((1, 32, 32, 3), np.float32)
    before = petseg.Runtime(path)(images)
    replace = Path.replace

    def fail(file, target):
        if Path(target) == path:
            raise OSError(28, "No space left on device")
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        petseg.export(small_model(2), path)
    np.testing.assert_array_equal(petseg.Runtime(path)(images), before)
    assert [file.name for file in tmp_path.iterdir()] == ["saved"]


@pytest.fixture
def tiny_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(petseg.experiment, "MODELS", dict(petseg.MODELS), raising=True)
    monkeypatch.setattr(petseg, "MODELS", petseg.experiment.MODELS)
    commands.register_tiny_architecture()
    home = tmp_path / "home"
    home.mkdir()
    commands.COMMANDS["train"].prepare(home, home)
    return Settings(
        "tiny",
        weights=None,
        data=str(home / "data"),
        classes=("a", "background"),
        image_size=(32, 32),
        batch_size=3,
        frozen_epochs=1,
        epochs=1,
    )


def test_the_model_of_a_resumed_run_is_the_same(tiny_settings, tmp_path, monkeypatch):
    """Killed after the last epoch, before its results were written."""
    one, two = tmp_path / "one", tmp_path / "two"
    keras.backend.clear_session()  # the layers are numbered in a process
    run(tiny_settings, one, verbose=0)
    keras.backend.clear_session()
    with monkeypatch.context() as patch:
        patch.setattr(petseg.experiment, "_result", lambda *_: None)
        patch.setattr(petseg.experiment, "_write_files", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tiny_settings, two, verbose=0)
    keras.backend.clear_session()
    run(tiny_settings, two, verbose=0)
    models = [commands.contents(folder)["model.keras"] for folder in (one, two)]
    assert models[0] == models[1]


def test_what_a_kill_left_in_a_complete_run_is_removed(tiny_settings, tmp_path):
    folder = tmp_path / "run"
    run(tiny_settings, folder, verbose=0)
    (folder / ".lock").touch()
    (folder / ".part-1-history.csv").touch()
    assert find_result(tiny_settings, folder) is not None
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
