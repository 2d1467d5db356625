"""`petseg train`, on synthetic pets: in this process, and as a process that is killed."""

import dataclasses
import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from petseg import experiment, model_info
from petseg.data import write_shards
from petseg.experiment import Result, Settings, find_result
from petseg.training import THAW_STAGES
from petseg_cli import main
from petseg_cli.options import Augment, parse_cache, parse_ignore_class, parse_size
from petseg_cli.train import Loss, Optimizer, Thaw, train
from petseg_cli.training_display import TrainingDisplay

TRAIN = (
    "train fcn32 --backbone mobilenetv3small --weights none --data synthetic --image-size 32x48 "
    "--frozen-epochs 1 --epochs 1"
).split()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """The folder of a finished `petseg train`."""
    folder = tmp_path_factory.mktemp("runs") / "fcn32"
    with pytest.raises(SystemExit) as ending:
        main([*TRAIN, "--out", str(folder)])
    assert not ending.value.code
    return folder


def test_train_passes_its_options_on(run_dir):
    settings = Result.load(run_dir).settings
    assert settings == Settings(
        "fcn32",
        backbone="mobilenetv3small",
        weights=None,
        data="synthetic",
        image_size=(32, 48),
        frozen_epochs=1,
        epochs=1,
    )
    for name in ("model.keras", "result.json", "curves.png", "masks.png"):
        assert (run_dir / name).is_file()


def test_the_defaults_are_those_of_settings():
    parameters = inspect.signature(train).parameters
    parsers = {"image_size": parse_size, "ignore_class": parse_ignore_class}
    for field in dataclasses.fields(Settings):
        if field.name != "architecture":
            default = parameters[field.name].default
            parser = parsers.get(field.name)
            assert (parser(default) if parser else default) == field.default, field.name


def test_the_imagenet_download_is_announced_before_anything_is_loaded(cli, tmp_path, own_folder):
    (own_folder / "train" / "masks" / "0.png").unlink()
    options = ("--data", own_folder, "--classes", "pet,background,border", "--out", tmp_path / "r")
    code, _, err = cli("train", "unet", "--backbone", "mobilenetv2", *options)
    first, second = err.splitlines()
    assert code == 1
    assert first.startswith("petseg: ImageNet weights of mobilenetv2 (9 MB) are downloaded")
    assert second.startswith("petseg: error: ")
    code, _, err = cli("train", "unet", *options)
    assert code == 1
    assert len(err.splitlines()) == 1, "the weights of the default backbone come with petseg"


def test_names_are_those_of_the_experiment():
    assert tuple(map(str, Loss)) == experiment.LOSSES
    assert tuple(map(str, Optimizer)) == tuple(experiment.OPTIMIZERS)
    assert tuple(map(str, Augment)) == experiment.AUGMENT
    assert tuple(map(str, Thaw)) == THAW_STAGES


def test_train_on_shards_with_files_as_a_cache(cli, own_folder, tmp_path):
    write_shards(own_folder, tmp_path / "shards", class_names=("pet", "rest", "border"))
    options = ("--data", tmp_path / "shards", "--cache", tmp_path / "cache", "--epochs", 0)
    code, _, err = cli(*TRAIN, *options, "--out", tmp_path / "run")
    assert code == 0, err
    assert len(list((tmp_path / "cache").iterdir())) == 2
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "shuffle_buffer" not in state["settings"]["training"]["train"]
    code, text, err = cli("evaluate", tmp_path / "run")
    assert code == 0, err
    assert "rest" in text


def test_the_cache_is_a_word_or_a_folder(tmp_path):
    assert [parse_cache(text) for text in ("none", "Memory", "a/b")] == [False, "memory", "a/b"]
    (tmp_path / "file").touch()
    with pytest.raises(typer.BadParameter, match=r"file is a file\. Give a folder"):
        parse_cache(str(tmp_path / "file"))


def test_train_again_shows_a_finished_run_and_leaves_it(cli, run_dir):
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    code, out, err = cli(*TRAIN, "--out", run_dir)
    assert (code, err) == (0, "")
    assert "Nothing was trained" in out
    assert "validation" in out
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


@pytest.mark.parametrize("name", ["run.json", "result.json", "settings.yaml", "."])
def test_a_file_gives_the_settings(cli, run_dir, tmp_path, name):
    config = run_dir / name
    if name == "settings.yaml":
        config = tmp_path / name
        config.write_text(
            "# a number that YAML 1.1 takes for text: 1e-3\n"
            "architecture: fcn32\nbackbone: mobilenetv3small\nweights: null\ndata: synthetic\n"
            "image_size: [32, 48]\nfrozen_epochs: 1\nepochs: 7\nlearning_rate: [1e-3, 3e-4]\n"
        )
    options = ("--config", config, "--out", run_dir)
    code, out, err = cli("train", *options, "--epochs", 1)
    assert (code, err) == (0, "")
    assert "Nothing was trained" in out
    code, _, err = cli("train", "fcn16", *options, "--epochs", 1)
    assert code == 1
    assert "architecture" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch: 3", "with 'epoch'. Did you mean 'epochs' or 'frozen_epochs'?"),
        ("epochs: many", "--epochs must be an integer of 0 or more. Received: 'many'."),
        ("data: 5", "Received: 5"),
        ("- 1", "must hold settings by name"),
        ("", "must hold settings by name"),
        ("epochs: [", "is no YAML file"),
    ],
)
def test_a_wrong_file_of_settings_is_refused(cli, tmp_path, content, message):
    config = tmp_path / "settings.yaml"
    config.write_text(content)
    code, _, err = cli("train", "unet", "--config", config, "--out", tmp_path / "run")
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_without_an_architecture_there_is_one_error(cli, tmp_path):
    code, _, err = cli("train", "--out", tmp_path / "run")
    assert code == 2
    assert "Name an architecture, or pass --config." in err
    code, _, err = cli("train", "--config", tmp_path / "none.yaml", "--out", tmp_path / "run")
    assert code == 1
    assert "none.yaml" in err


@pytest.mark.filterwarnings("default::petseg.models.WeightsWarning")
def test_the_weights_of_a_run_start_a_model_of_other_classes(cli, run_dir, tmp_path):
    options = ("--data", "synthetic", "--binary", "--image-size", "32x48", "--epochs", 0)
    out_dir = tmp_path / "run"
    code, _, err = cli("train", "fcn32", "--weights", run_dir, *options, "--out", out_dir)
    assert code == 0
    first, *_ = err.splitlines()
    assert first.startswith("petseg: warning: --weights fcn32/model.keras: ")
    assert first.endswith(" layers have these weights; new and random: scores.")
    settings = Result.load(out_dir).settings
    assert (settings.weights, settings.backbone) == (str(run_dir), "mobilenetv3small")
    info = model_info(out_dir / "model.keras")
    assert (info.weights, info.class_names) == ("fcn32/model.keras", ("pet", "background"))


def test_a_run_is_reproduced(cli, run_dir, tmp_path):
    """The folder of a run is all that is needed; the same seed gives the same scores."""
    again = tmp_path / "again"
    code, out, err = cli("reproduce", run_dir, "--out", again)
    assert code == 0
    assert Result.load(again).settings == Result.load(run_dir).settings
    assert "test, again" in out
    table = out.partition("Wrote ")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert "Largest difference of mean IoU: 0.00" in out
    assert "Other versions" not in out
    code, out, err = cli("reproduce", run_dir, "--out", run_dir)
    assert (code, out) == (2, "")
    assert "another folder" in err
    code, _, err = cli("reproduce", tmp_path, "--out", again)
    assert code == 1
    assert "is not complete" in err


def test_a_changed_table_of_labels_is_noticed_and_moved_data_found(cli, own_folder, tmp_path):
    table = own_folder / "classes.csv"
    table.write_text("name,label\npet,0\nbackground,1\nborder,2\n")
    options = "--frozen-epochs 0 --epochs 1 --weights none".split()
    train = [*TRAIN, *options, "--data", own_folder, "--out", tmp_path / "run"]
    assert cli(*train)[0] == 0
    right = table.read_text()
    table.write_text(right.replace("pet,0", "pet,1").replace("background,1", "background,0"))
    for command in (train, ["evaluate", tmp_path / "run"]):
        code, _, err = cli(*command)
        assert code == 1
        assert "label 0 was 'pet', is 'background'" in err
    table.write_text(right)
    own_folder.rename(tmp_path / "moved")
    assert find_result(Result.load(tmp_path / "run").settings, tmp_path / "run") is not None
    again = ["reproduce", tmp_path / "run", "--out", tmp_path / "again"]
    code, _, err = cli(*again)
    assert code == 1
    assert "is not a folder" in err
    code, out, _ = cli(*again, "--data", tmp_path / "moved")
    assert code == 0
    assert "Largest difference of mean IoU: 0.0000" in out


def test_patience_ends_a_stage_and_thaw_names_its_first_layers(cli, tmp_path):
    """With a learning rate of nearly zero, no epoch is better than the first."""
    options = "--epochs 6 --patience 2 --thaw stage4 --learning-rate 1e-9 1e-9".split()
    out_dir = tmp_path / "run"
    code, _, _ = cli(*TRAIN[:-2], *options, "--out", out_dir)
    assert code == 0
    result = Result.load(out_dir)
    assert (result.settings.patience, result.settings.thaw) == (2, "stage4")
    rows = (out_dir / "history.csv").read_text().splitlines()[1:]
    assert len(rows) < 7
    assert cli(*TRAIN, "--patience", 0, "--out", out_dir)[0] == 2


def test_train_refuses_the_folder_of_another_run(cli, run_dir):
    code, out, err = cli(*TRAIN, "--seed", 1, "--out", run_dir)
    assert (code, out) == (1, "")
    assert err.startswith(f"petseg: error: {run_dir} holds a run with other settings: seed was 0")
    assert err.count("\n") == 1


@pytest.mark.parametrize("damage", [b"", b"no image"])
def test_a_run_that_never_began_leaves_nothing(cli, tmp_path, own_folder, damage):
    """A mask is missing, or is found to be damaged in the first epoch."""
    mask = own_folder / "train" / "masks" / "0.png"
    mask.unlink()
    if damage:
        mask.write_bytes(damage)
    options = ("--data", own_folder, "--classes", "pet,background,border")
    code, _, err = cli(*TRAIN, *options, "--out", tmp_path / "run")
    assert code == 1
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


KILLED = """
import os
from petseg_cli import main
from petseg_cli.training_display import TrainingDisplay
begin = TrainingDisplay.on_epoch_begin
def on_epoch_begin(self, epoch, logs=None):
    if epoch == 1:
        os._exit(9)
    begin(self, epoch, logs)
TrainingDisplay.on_epoch_begin = on_epoch_begin
main()
"""


def test_train_killed_goes_on(cli, tmp_path):
    weighted = "--frozen-epochs 0 --epochs 2 --class-weights 1,1,2 --loss cross-entropy"
    command = [*TRAIN, *weighted.split(), "--out", str(tmp_path / "run")]
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True)
    assert killed.returncode == 9
    # Not a terminal: a line for the epoch.
    lines = [line for line in killed.stderr.decode().splitlines() if line.startswith("thawed")]
    assert len(lines) == 1
    code, out, err = cli(*command)
    assert code == 0
    assert "Wrote" in out
    lines = err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["thawed 2/2"]
    rows = json.loads((tmp_path / "run" / "run.json").read_text())["epochs"]
    assert len(rows) == 2
    best = max(row["val_mean_iou"] for row in rows)
    assert f"mean IoU {rows[1]['val_mean_iou']:.3f} (best {best:.3f})" in lines[0]


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
            "train unet --class-weights balance --out run",
            2,
            "'balance' is not a list of numbers such as 1,1,2.5, nor balanced.",
        ),
        ("train unet --epochs -1 --out run", 2, "--epochs"),
        ("train unet --loss dice --out run", 2, "cross-entropy-dice"),
        ("train", 2, "MODEL"),
        ("train unet --backbone mobilenetv4 --data synthetic --out run", 1, "--backbone must be"),
        ("train unet --image-size 16 --data synthetic --out run", 1, "--image-size must be"),
        ("train unet --learning-rate 0 1 --data synthetic --out run", 1, "--learning-rate must"),
        ("train unet --classes a,b --out run", 2, "--classes"),
        ("train unet --data synthetic --data-dir x --out run", 2, "--data-dir"),
        ("train unet --data . --classes a,b --binary --out run", 2, "--binary"),
        ("train unet --class-weights 1,2 --out run", 1, "--class-weights must hold 3 numbers"),
        ("train unet --weights nothing.h5 --out run", 2, "must be imagenet, pets, none, or the"),
        ("train fcn32 --weights pets --out run", 2, "--weights: pets is for unet, fcn8"),
        (
            "train unet --weights pets --backbone vgg16 --out run",
            2,
            "pets is for --backbone efficientnetlite0, efficientnetlite2, mobilenetv2.",
        ),
        ("train unet --data nowhere --out run", 1, "--data must be pets, synthetic or a folder"),
    ],
)
def test_a_mistake_is_answered_in_words(cli, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    got, out, err = cli(*args.split())
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert "download" not in err.lower()
    assert not list(tmp_path.iterdir())


# The display.


def trained(display, epochs, steps):
    """Calls a display as Keras does."""
    display.set_params({"epochs": epochs, "steps": steps})
    with display:
        for epoch in range(epochs):
            if epoch in (0, display._frozen_epochs):
                display.on_train_begin()
            display.on_epoch_begin(epoch)
            for step in range(steps):
                display.on_train_batch_end(step, {"loss": 1.2345})
            display.on_epoch_end(epoch, {"val_mean_iou": 0.5 + 0.001 * epoch})


def test_a_terminal_shows_one_line_that_is_drawn_again(tmp_path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    settings = Settings("unet", frozen_epochs=10, epochs=290)
    trained(TrainingDisplay(settings, tmp_path, console), 300, 207)
    text = screen.getvalue()
    # A new line comes once, at the end; before that the cursor goes back to the start.
    assert text.count("\n") == 1
    line = [part for part in re.split(r"\x1b\[[?0-9]*[a-zA-Z]|[\r\n]", text) if part][-1]
    assert line.startswith("thawed 300/300  step 207/207  loss 1.2")
    assert "mean IoU 0.799 (best 0.799)" in line
    assert re.search(r"  0:00:0\d$", line)
    assert len(line) < 80


def test_elsewhere_each_epoch_is_a_short_line(tmp_path):
    screen = io.StringIO()
    settings = Settings("unet", frozen_epochs=1, epochs=2)
    console = Console(file=screen, width=40)
    trained(TrainingDisplay(settings, tmp_path, console), 3, 5)
    lines = screen.getvalue().splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["frozen 1/3", "step 5/5"],
        ["thawed 2/3", "step 5/5"],
        ["thawed 3/3", "step 5/5"],
    ]
