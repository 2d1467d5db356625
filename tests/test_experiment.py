import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import Stop

import petseg
from petseg import experiment
from petseg.experiment import Result, Settings, find_result, run
from petseg.run_state import RunFiles

SMALL = Settings(
    "fcn32",
    backbone="mobilenetv3small",
    weights=None,
    data="synthetic",
    image_size=(32, 48),
    frozen_epochs=1,
    epochs=1,
    seed=0,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of a complete experiment that was stopped before its last epoch."""
    folder = tmp_path_factory.mktemp("runs") / "fcn32"
    with pytest.raises(KeyboardInterrupt):
        run(SMALL, folder, callbacks=[Stop(1)], verbose=0)
    assert find_result(SMALL, folder) is None
    run(SMALL, folder, verbose=0)
    return folder


def test_an_experiment_leaves_model_result_and_figures(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "best.weights.h5",
        "curves.png",
        "frozen.weights.h5",
        "history.csv",
        "masks.png",
        "model.keras",
        "result.json",
        "run.json",
        "tensorboard",
    }
    for figure in ("curves.png", "masks.png"):
        with Image.open(folder / figure) as image:
            assert min(image.size) > 100
    state = json.loads((folder / "run.json").read_text())
    assert state["status"] == "complete"
    assert state["settings"]["experiment"] == SMALL.to_dict()


def test_the_result_is_that_of_the_saved_model(folder):
    model = keras.models.load_model(folder / "model.keras")
    result = Result.load(folder)
    assert result.settings == SMALL
    assert result.parameters == model.count_params()
    assert result.multiply_adds > 0
    assert result.environment["versions"]["petseg"] == petseg.__version__
    seconds = [row["seconds"] for row in json.loads((folder / "run.json").read_text())["epochs"]]
    assert len(seconds) == 2
    assert result.training_seconds == pytest.approx(sum(seconds), abs=0.06)
    splits = petseg.synthetic_pets(image_size=(32, 48))
    for found, dataset in ((result.validation, splits.val), (result.test, splits.test)):
        again = petseg.evaluate(model, dataset)
        np.testing.assert_array_equal(found.confusion, again.confusion)
    keras.Model(model.inputs, model.outputs).load_weights(folder / "frozen.weights.h5")
    for split in ("validation", "test"):
        dataset = splits.val if split == "validation" else splits.test
        again = petseg.evaluate(model, dataset)
        found = result.before_fine_tuning[split]
        np.testing.assert_array_equal(found.confusion, again.confusion)
    assert petseg.model_info(folder / "model.keras").image_size == (32, 48)


def test_the_result_survives_json(folder):
    result = Result.load(folder)
    record = json.loads((folder / "result.json").read_text())
    assert result.to_dict() == record
    assert record["test"]["mean_iou"] == result.test.mean_iou
    assert record["settings"]["weights"] is None


def test_a_complete_experiment_returns_at_once(folder, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(experiment, "build", lambda *_: pytest.fail("built again"))
    found = run(SMALL, folder)
    assert found.to_dict() == Result.load(folder).to_dict()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_other_settings_are_refused_before_anything_is_loaded(folder, monkeypatch):
    monkeypatch.setattr(Settings, "source", lambda *_: None)
    other = Settings.from_dict({**SMALL.to_dict(), "seed": 6, "image_size": [32, 32]})
    with pytest.raises(ValueError, match=r"image_size was \[32, 48\], is \[32, 32\]; seed was 0"):
        run(other, folder)


def test_a_lost_result_is_written_again_without_training(folder):
    before = Result.load(folder).to_dict()
    (folder / "result.json").unlink()
    again = run(SMALL, folder, callbacks=[Stop(0)], verbose=0).to_dict()
    assert again == before == Result.load(folder).to_dict()


def test_a_damaged_result_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="not complete"):
        Result.load(tmp_path)
    for text in ("", "[]", '{"settings": {}}', (folder / "result.json").read_text()[:-300]):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(ValueError, match=r"result.json is damaged.*Delete it"):
            Result.load(tmp_path)


def test_results_of_the_first_version_are_read(tmp_path):
    published = Path(__file__).parents[1] / "docs" / "results" / "unet-mobilenetv2-128"
    record = json.loads((published / "result.json").read_text())
    settings = record["settings"]
    settings["model"] = settings.pop("architecture")  # as 0.1.0 wrote it
    del settings["augment"]
    (tmp_path / "result.json").write_text(json.dumps(record))
    result = Result.load(tmp_path)
    assert result.settings.architecture == "unet"
    assert result.settings.image_size == (128, 128)
    assert 0.7 < result.test.mean_iou < 0.9


def test_weighted_cross_entropy_on_a_folder_with_ignored_pixels(tmp_path):
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
        image, mask = petseg.data.draw_pet(len(split))
        mask[:8] = 255
        folder = tmp_path / "data" / split
        Image.fromarray(image).save(folder / "images" / "0.png")
        Image.fromarray(mask[..., 0]).save(folder / "masks" / "0.png")
    settings = Settings(
        "fcn32",
        backbone="mobilenetv3small",
        weights=None,
        data=str(tmp_path / "data"),
        classes=("pet", "ground", "border"),
        image_size=(32, 32),
        batch_size=1,
        frozen_epochs=0,
        epochs=1,
        loss="cross-entropy",
        class_weights=np.array([1, 1, 2]),
        optimizer="sgd",
    )
    result = run(settings, tmp_path / "run", verbose=0)
    assert result.before_fine_tuning is None
    assert result.test.class_names == ("pet", "ground", "border")
    assert result.test.confusion.sum() < 32 * 32
    state = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert state["training"]["class_weights"] == [1, 1, 2]
    assert state["training"]["optimizer"]["momentum"] == 0.9


@pytest.mark.parametrize("name", experiment.OPTIMIZERS)
def test_every_optimizer_is_another(name):
    def made(name):
        optimizer = experiment.OPTIMIZERS[name]()
        config = {key: value for key, value in optimizer.get_config().items() if key != "name"}
        return type(optimizer), config

    assert sum(made(name) == made(other) for other in experiment.OPTIMIZERS) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "unett"}, "`architecture` must be one of .*Did you mean 'unet'"),
        ({"backbone": "mobilenetv4"}, "`backbone` must be one of .*Did you mean"),
        ({"image_size": (31, 64)}, "`image_size` must be two integers of 32 or more"),
        ({"image_size": 64}, "`image_size`"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"epochs": True}, "`epochs` must be an integer"),
        ({"learning_rate": 1e-3}, "`learning_rate` must be two positive numbers"),
        ({"learning_rate": (1e-3, -1)}, "`learning_rate` must be a positive number"),
        ({"loss": "dice"}, "`loss` must be one of cross-entropy, cross-entropy-dice"),
        ({"optimizer": "adagrad"}, "`optimizer` must be one of adamw"),
        ({"class_weights": (0, 0)}, "`class_weights` must hold"),
        ({"data": "x", "classes": ("a", "b"), "class_weights": (1, 1, 1)}, "`class_weights`"),
        ({"data": "x", "classes": ("a", "a")}, "`classes` must hold"),
        ({"binary": "yes"}, "`binary` must be True or False"),
        ({"seed": -1}, "`seed` must be an integer of 0 or more"),
    ],
)
def test_bad_settings_are_answered(values, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"architecture": "unet", **values})


def test_unknown_settings_are_answered():
    with pytest.raises(ValueError, match=r"`record` must hold the settings.*colour"):
        Settings.from_dict({"architecture": "unet", "colour": "red"})


def test_settings_survive_json():
    settings = Settings("unet", data="x", classes=["a", "b"], class_weights=np.array([1, 2]))
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert again.classes == ("a", "b")
    assert again.class_weights == (1.0, 2.0)


def test_class_weights_must_fit_the_data(tmp_path):
    settings = Settings.from_dict({**SMALL.to_dict(), "class_weights": (1, 2)})
    with pytest.raises(ValueError, match="`class_weights` must hold 3 numbers"):
        run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_files_have_names_in_one_place(folder):
    files = RunFiles(folder)
    assert all(path.exists() for path in (*files.results, files.curves, files.masks))
