"""The command line, on drawn pets: in this process, and as real processes where that matters."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data import draw_pet
from petseg_cli import main

TRAIN = (
    "train unet --backbone mobilenet --weights none --data synthetic --image-size 32x48 "
    "--batch-size 16 --frozen-epochs 1 --epochs 1"
).split()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """The folder of a finished `petseg train`."""
    folder = tmp_path_factory.mktemp("runs") / "unet"
    with pytest.raises(SystemExit) as ending:
        main([*TRAIN, "--out", str(folder)])
    assert not ending.value.code
    return folder


@pytest.fixture
def own_folder(tmp_path) -> Path:
    """Images and masks as a user has them, in the folder layout of `petseg.load_folder`."""
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index in range(2):
            image, mask = draw_pet((len(split), index))
            Image.fromarray(image).save(tmp_path / split / "images" / f"{index}.png")
            Image.fromarray(mask[..., 0]).save(tmp_path / split / "masks" / f"{index}.png")
    return tmp_path


def test_train_leaves_model_figures_and_pictures(run_dir):
    model = keras.models.load_model(run_dir / "model.keras")
    result = json.loads((run_dir / "result.json").read_text())
    assert result["settings"]["image_size"] == [32, 48]
    assert result["settings"]["seed"] == 0
    assert result["environment"]["versions"]["petseg"] == petseg.__version__
    assert result["environment"]["cores"] >= 1
    assert result["parameters"] == model.count_params()
    assert result["training_seconds"] > 0
    splits = petseg.synthetic_pets(image_size=(32, 48))
    for split, dataset in (("validation", splits.val), ("test", splits.test)):
        found = petseg.Evaluation.from_json(json.dumps(result[split]))
        again = petseg.evaluate(model, dataset)
        np.testing.assert_array_equal(found.confusion, again.confusion)
    keras.Model(model.inputs, model.outputs).load_weights(run_dir / "frozen.weights.h5")
    before = petseg.Evaluation.from_json(json.dumps(result["before_fine_tuning"]["test"]))
    np.testing.assert_array_equal(before.confusion, petseg.evaluate(model, splits.test).confusion)
    for picture in ("curves.png", "overlays.png"):
        with Image.open(run_dir / picture) as image:
            assert min(image.size) > 100
    assert not list(run_dir.glob(".*"))


def test_train_again_shows_a_finished_run_and_leaves_it(cli, run_dir):
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    code, out, _ = cli(*TRAIN, "--out", run_dir)
    assert code == 0
    assert "finished" in out
    assert "validation" in out
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


def test_train_refuses_the_folder_of_another_run(cli, run_dir):
    code, out, err = cli(*TRAIN, "--seed", 1, "--out", run_dir)
    assert (code, out) == (1, "")
    assert err.startswith(f"petseg: error: {run_dir} holds a run with other settings: seed was 0")
    assert err.count("\n") == 1


def test_train_forgets_a_run_that_never_began(cli, tmp_path):
    failed = ("train", "unet", "--data", "nowhere", "--out", tmp_path / "run")
    assert cli(*failed)[0] == 1
    assert cli(*failed, "--backbone", "vgg17")[2].count("other settings") == 0


def test_train_killed_goes_on(cli, tmp_path):
    weighted = "--frozen-epochs 0 --epochs 3 --class-weights 1,1,2 --loss cross-entropy"
    command = [*TRAIN, *weighted.split()]
    state = tmp_path / "run" / "run.json"
    call = "from petseg_cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", call, *command, "--out", state.parent],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not state.exists():
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    epochs = len(json.loads(state.read_text())["epochs"])
    assert epochs in (1, 2)
    code, out, _ = cli(*command, "--out", state.parent)
    assert code == 0
    assert f"Epoch {epochs}/3" not in out  # It is done.
    assert "Epoch 3/3" in out
    seconds = [epoch["seconds"] for epoch in json.loads(state.read_text())["epochs"]]
    result = json.loads((state.parent / "result.json").read_text())
    assert len(seconds) == 3
    assert result["training_seconds"] == pytest.approx(sum(seconds), abs=0.06)


def test_train_names_the_bad_file_in_one_line(cli, own_folder, tmp_path):
    (own_folder / "val" / "images" / "1.png").write_bytes(b"no image")
    settings = [*TRAIN, "--data", own_folder, "--classes", "pet,background,border"]
    code, _, err = cli(*settings, "--out", tmp_path / "run")
    assert code == 1
    assert err.startswith(f"petseg: error: {own_folder / 'val' / 'images' / '1.png'} is not")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("train unett --out run", 2, "Did you mean unet?"),
        ("train unet --image-size big --out run", 2, "'big' is not a size such as 128 or 128x160"),
        (
            "train unet --class-weights a,b --out run",
            2,
            "'a,b' is not a list of numbers such as 1,1,2.5",
        ),
        ("train unet --epochs -1 --out run", 2, "--epochs"),
        ("train", 2, "MODEL"),
        (
            "train unet --backbone mobilenetv4 --data synthetic --weights none --out run",
            1,
            "Did you mean",
        ),
    ],
)
def test_a_mistake_is_answered_in_words(cli, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    got, out, err = cli(*args.split())
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
