"""Training on several devices and in several processes equals training on one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data import draw_pet, write_shards
from petseg.processes import Launch, find_launch

SCRIPT = Path(__file__).with_name("parallel_training.py")
TORCHRUN = {"MASTER_ADDR": "host", "MASTER_PORT": "29500", "WORLD_SIZE": "4", "RANK": "1"}
KERAS = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "host:1",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "0",
}


def start(backend, arguments, **environment):
    sources = os.pathsep.join([str(SCRIPT.parents[1] / "src"), str(SCRIPT.parent)])
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ
        | {"KERAS_BACKEND": backend, "PYTHONPATH": sources, "TF_CPP_MIN_LOG_LEVEL": "3"}
        | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # compiles faster
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process):
    with process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def check_epochs(found, expected):
    """Compares the scores of epochs, each by name."""
    for epoch, (row, wanted) in enumerate(zip(found, expected, strict=True)):
        assert row.keys() == wanted.keys()
        for name in row.keys() - {"stage", "seconds"}:
            assert row[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-5), (epoch, name)


def check_run(folder, whole, resumed):
    """Compares a run that several devices began and one device ended with one on one device."""
    rows = zip(*whole["history"].values(), strict=True)
    epochs = [dict(zip(whole["history"], row, strict=True)) for row in rows]
    recorded = json.loads((folder / "run.json").read_text())["epochs"]
    assert len(recorded) == len(epochs) == 3
    check_epochs(recorded, epochs)
    np.testing.assert_allclose(resumed["weights"], whole["weights"], rtol=1e-3, atol=1e-4)


def test_two_devices_of_tensorflow_train_as_one(tmp_path):
    run = tmp_path / "run"
    found = result_of(start("tensorflow", [2, run]))
    begun = json.loads((run / "run.json").read_text())["epochs"]
    assert found["devices"] == 2
    assert len(begun) == 2
    assert found["mean_iou"] == pytest.approx(begun[-1]["val_mean_iou"], abs=1e-6)
    check_run(run, **result_of(start("tensorflow", ["one", run])))


def test_a_device_without_an_image_changes_no_kernel():
    """TensorFlow computes convolutions of an empty batch wrongly, see `safe_empty_parts`."""
    processes = [start("tensorflow", [devices, "kernels"]) for devices in (2, 1)]
    for two, one in zip(*map(result_of, processes), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def results_of_two_processes(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launcher = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    processes = [start("jax", arguments, RANK=str(rank), **launcher) for rank in range(2)]
    return [result_of(process) for process in processes]


def test_two_processes_of_jax_train_as_one(tmp_path):
    run = tmp_path / "run"
    assert results_of_two_processes(1, run) == [{"devices": 2}] * 2
    assert not (run / ".lock").exists()
    assert len(json.loads((run / "run.json").read_text())["epochs"]) == 2
    # The two trainings of this process compile the same functions.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    check_run(run, **result_of(start("jax", ["one", run], **cache)))


def test_two_processes_of_jax_read_shards_of_their_own(own_folder, tmp_path):
    for name in ("2", "3"):
        for kind in ("images", "masks"):
            file = own_folder / "train" / kind / "0.png"
            file.with_stem(name).write_bytes(file.read_bytes())
    shards = write_shards(own_folder, tmp_path / "shards", size=1, class_names=petseg.PET_CLASSES)
    first, second = results_of_two_processes("shards", shards)
    validation = ["val-000000.tar", "val-000001.tar"]
    assert first["opened"] == ["train-000000.tar", "train-000002.tar", *validation]
    assert second["opened"] == ["train-000001.tar", "train-000003.tar", *validation]
    assert first["history"] == second["history"]
    losses = first["history"]["loss"]
    assert losses[-1] < losses[0]


def test_the_command_trains_a_folder_on_two_devices(tmp_path):
    """The files of a folder without splits are divided by a hash, which TensorFlow computes."""
    for kind in ("images", "masks"):
        (tmp_path / "own" / kind).mkdir(parents=True)
    for number in range(24):
        image, mask = draw_pet(number)
        Image.fromarray(image).save(tmp_path / "own" / "images" / f"{number}.png")
        Image.fromarray(mask[..., 0]).save(tmp_path / "own" / "masks" / f"{number}.png")
    options = (
        "train lraspp --backbone mobilenetv3small --weights none --image-size 32 --batch-size 5 "
        "--frozen-epochs 0 --epochs 1 --augment none --classes pet,background,border --devices 2"
    )
    words = [*options.split(), "--data", tmp_path / "own", "--out", tmp_path / "run"]
    program = "import sys; from petseg_cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, Launch(1)),
        ({"WORLD_SIZE": "1", "RANK": "0"}, Launch(1)),
        (TORCHRUN, Launch(4, 1, "host:29500")),
        (
            {**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"},
            Launch(4, 1, "host:29500", "1"),
        ),
        (KERAS, Launch(2, 0, "host:1")),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3"}, Launch(8)),
        ({"SLURM_NTASKS": "8"}, Launch(1)),  # in the script of a job, outside of srun
    ],
)
def test_variables_of_launchers(environment, launch):
    assert find_launch(environment) == launch


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE must be a number, 1 or more"),
        ({"WORLD_SIZE": "2"}, "RANK must be set"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR must be set"),
        ({**TORCHRUN, "RANK": "4"}, "less than the number of processes. Received: 4 of 4"),
        ({**KERAS, "KERAS_DISTRIBUTION_PROCESS_ID": ""}, "PROCESS_ID must be set"),
    ],
)
def test_variables_that_do_not_fit_are_refused(environment, message):
    with pytest.raises(ValueError, match=message):
        find_launch(environment)


def test_several_processes_need_jax(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="needs the JAX backend"), petseg.data_parallel(1):
        pass


@pytest.mark.parametrize("devices", [0, 1.5, "2", None])
def test_numbers_of_devices_that_are_refused(devices):
    with pytest.raises(ValueError, match="`devices` must be"), petseg.data_parallel(devices):
        pass


def test_more_devices_than_there_are():
    keras.ops.zeros(())  # The backend has started.
    with pytest.raises(ValueError, match="at most"), petseg.data_parallel(64):
        pass


def test_one_device_needs_no_strategy():
    with petseg.data_parallel(1) as count:
        assert count == 1
        assert keras.distribution.distribution() is None
