"""`petseg evaluate`, with saved and exported models."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg import ModelInfo
from petseg.data import draw_pet
from petseg.experiment import Result, RunFiles, Settings
from petseg_cli.model_loading import DEFAULT_MODEL, SUFFIXES
from petseg_runtime.formats import FORMATS
from petseg_runtime.keras_file import SUFFIX as KERAS_SUFFIX
from petseg_runtime.pretrained import DEFAULT_ARCHITECTURE

CHOOSE = "Choose the dataset of this model with --data."
SYNTHETIC = ("--data", "synthetic", "--batch-size", "8")


@pytest.fixture(scope="module")
def exported(model_file, tmp_path_factory) -> Path:
    import keras

    model = keras.models.load_model(model_file)
    return petseg.export(model, tmp_path_factory.mktemp("exported") / "small.onnx")


def test_it_finds_what_the_library_finds(cli, model_file, tmp_path):
    import keras

    found = tmp_path / "new" / "scores.json"
    code, out, err = cli("evaluate", model_file, *SYNTHETIC, "--json", found)
    assert (code, err) == (0, "")
    line = f"Evaluating {model_file} on the test split of synthetic at 64 x 64 pixels"
    assert out.splitlines()[0] == line
    splits = petseg.synthetic_pets(image_size=(64, 64))
    expected = petseg.evaluate(keras.models.load_model(model_file), splits.test)
    scores = json.loads(found.read_text())
    assert scores["confusion"] == expected.confusion.tolist()
    assert f"{expected.mean_iou:.3f}" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_an_exported_model_has_the_scores_of_its_model(cli, model_file, exported, tmp_path):
    confusions = []
    for model in (model_file, exported):
        scores = tmp_path / f"{model.name}.json"
        code, out, _ = cli("evaluate", model, *SYNTHETIC, "--json", scores)
        assert code == 0
        assert "at 64 x 64 pixels" in out
        confusions.append(json.loads(scores.read_text())["confusion"])
    assert confusions[0] == confusions[1]


def test_the_pretrained_model_is_the_default(cli):
    code, out, _ = cli("evaluate", *SYNTHETIC)
    assert code == 0
    assert out.startswith(
        "Evaluating unet-efficientnetlite0 on the test split of synthetic at 224 x"
    )


def test_the_size_may_be_another(cli, model_file):
    assert (
        "at 32 x 48 pixels" in cli("evaluate", model_file, *SYNTHETIC, "--image-size", "32x48")[1]
    )


def test_an_unknown_size_is_said_in_one_line(cli, tmp_path, make_model):
    model = make_model(tmp_path / "model.keras", ModelInfo(petseg.PET_CLASSES))
    code, out, err = cli("evaluate", model, *SYNTHETIC)
    assert code == 0
    assert "at 224 x 224 pixels" in out
    assert err == (
        f"petseg: {model} does not say which image size it was trained at; 224 x 224 is used. "
        "Pass --image-size to set it.\n"
    )


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (("background", "pet", "border"), CHOOSE),
        (("pet", "background"), "Pass --binary."),
        (("a", "b", "c", "d"), CHOOSE),
        (("cat", "floor", "edge"), CHOOSE),
    ],
)
def test_other_classes_are_refused(cli, tmp_path, make_model, names, remedy):
    model = make_model(tmp_path / "model.keras", ModelInfo(names, image_size=(64, 64)))
    code, out, err = cli("evaluate", model, *SYNTHETIC)
    assert (code, out) == (1, "")
    assert err == (
        f"petseg: error: The dataset must have the classes of {model}: {', '.join(names)}. "
        f"Received: pet, background, border. {remedy}\n"
    )


def test_other_names_of_a_folder_are_refused(cli, tmp_path, model_file):
    code, _, err = cli("evaluate", model_file, "--data", tmp_path, "--classes", "cat,floor,edge")
    assert code == 1
    assert err.endswith("If the labels mean the same, pass --classes pet,background,border.\n")


def test_a_model_whose_classes_have_numbers_takes_any_names(cli, tmp_path, make_model):
    info = ModelInfo(("0", "1", "2"), image_size=(64, 64))
    model = make_model(tmp_path / "model.keras", info)
    code, out, err = cli("evaluate", model, *SYNTHETIC)
    assert (code, err) == (0, "")
    assert "background IoU" in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.weights.h5", "a file that ends in .keras, .onnx, .tflite, .xml, the folder of a run, "),
        ("m.weights.h5", "m.weights.h5. Weights alone are not a model"),
        ("m.txt", "m.txt.\n"),
        ("m.keras", "or it is damaged: File is not a zip file. Save the model again."),
    ],
)
def test_a_file_that_is_no_model_is_said_in_words(cli, tmp_path, name, message):
    (tmp_path / name).write_bytes(b"no model")
    code, out, err = cli("evaluate", tmp_path / name, *SYNTHETIC)
    assert (code, out) == (1, "")
    assert message in err
    assert "`path`" not in err
    assert "not found" not in err


def test_the_suffixes_of_models_are_those_of_the_runtime():
    exported = [row.suffix for row in FORMATS.values() if row.suffix]
    assert sorted(SUFFIXES) == sorted([KERAS_SUFFIX, *exported])
    assert DEFAULT_MODEL == DEFAULT_ARCHITECTURE


def test_a_name_that_no_model_has(cli):
    code, out, err = cli("evaluate", "resnet", *SYNTHETIC)
    assert (code, out) == (1, "")
    assert err == (
        "petseg: error: There is no model file resnet, and no pretrained model of that name. "
        "`petseg models` lists them.\n"
    )


def test_the_folder_of_a_run_is_a_model(cli, model_file, tmp_path):
    run = tmp_path / "unet"
    run.mkdir()
    code, _, err = cli("evaluate", run, *SYNTHETIC)
    assert code == 1
    assert f"{run} is a directory, but neither that of a run, which holds model.keras" in err
    model = RunFiles(run).model
    shutil.copy(model_file, model)
    assert f"Evaluating {model} on" in cli("evaluate", run, *SYNTHETIC)[1]


@pytest.fixture
def run_on_a_folder(tmp_path, make_model) -> Path:
    """The folder of a run, trained on a folder with other names and labels."""
    data = tmp_path / "scenes"
    for kind in ("rgb", "truth"):
        for split in ("train", "val", "test"):
            (data / kind / split).mkdir(parents=True)
    for split in ("train", "val", "test"):
        image, mask = draw_pet(len(split))
        labels = np.array([7, 3, 11], np.uint8)[mask[..., 0]]
        Image.fromarray(image).save(data / "rgb" / split / "0.png")
        Image.fromarray(labels).save(data / "truth" / split / "0.png")
    run = tmp_path / "run"
    run.mkdir()
    make_model(RunFiles(run).model, ModelInfo(("animal", "ground"), 255, image_size=(64, 64)))
    settings = Settings(
        "unet",
        data=str(data),
        images="rgb",
        masks="truth",
        labels={7: "animal", 3: "ground", 11: None},
        image_size=(64, 64),
    )
    published = Path(__file__).parents[2] / "docs" / "results" / "unet-mobilenetv2-224"
    result = dataclasses.replace(Result.load(published), settings=settings)
    RunFiles(run).result.write_text(json.dumps(result.to_dict()))
    return run


def test_the_data_of_a_run_is_read_with_the_options_of_the_run(cli, run_on_a_folder, tmp_path):
    options = ("--images", "rgb", "--masks", "truth", "--labels", "7=animal,3=ground,11=")
    data = tmp_path / "scenes"
    calls = {
        "run": (run_on_a_folder,),
        "options": (RunFiles(run_on_a_folder).model, "--data", data, *options),
        "both": (run_on_a_folder, "--labels", "7=animal,3=ground,11=ground"),
    }
    scores = {}
    for name, arguments in calls.items():
        code, out, err = cli("evaluate", *arguments, "--json", tmp_path / f"{name}.json")
        assert (code, "on the test split of" in out) == (0, True), err
        scores[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert scores["run"] == scores["options"]
    count = {name: int(np.sum(found["confusion"])) for name, found in scores.items()}
    assert count["run"] < count["both"] == 64 * 64


def test_other_data_of_a_run(cli, run_on_a_folder, tmp_path):
    moved = (tmp_path / "scenes").rename(tmp_path / "moved")
    code, _, err = cli("evaluate", run_on_a_folder)
    assert code == 1
    assert f"trained on the folder {tmp_path}/scenes, which is not there. Pass the folder as" in err
    code, out, _ = cli("evaluate", run_on_a_folder, "--data", moved)
    assert (code, f"on the test split of {moved}" in out) == (0, True)
    code, _, err = cli("evaluate", run_on_a_folder, *SYNTHETIC)  # not read as the folder was
    assert code == 1
    assert "Received: pet, background, border" in err


def test_what_exists_comes_before_a_name(cli, model_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fcn8").mkdir()
    shutil.copy(model_file, "fcn8/model.keras")
    assert "Evaluating fcn8/model.keras on" in cli("evaluate", "fcn8", *SYNTHETIC)[1]


def test_a_missing_model_is_said_before_data_is_loaded(cli, tmp_path):
    model = tmp_path / "nothing.keras"
    code, out, err = cli("evaluate", model, "--data-dir", tmp_path)
    assert (code, out) == (1, "")
    assert err == f"petseg: error: There is no model file {model}.\n"


def test_a_place_that_cannot_be_written_to_is_refused(cli, model_file, tmp_path):
    code, _, err = cli("evaluate", model_file, *SYNTHETIC, "--json", model_file)
    assert code == 2
    assert f"--json: It must end in .json. Received: {model_file}." in err
    code, _, err = cli("evaluate", model_file, *SYNTHETIC, "--json", tmp_path)
    assert code == 2
    assert f"--json: {tmp_path} is a folder" in err
