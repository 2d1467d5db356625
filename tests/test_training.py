import csv
import json
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import petseg
from petseg.training import thaw_encoder

LIGHT = {"backbone": "mobilenetv3small", "weights": None}


@pytest.fixture(scope="module")
def pets():
    return petseg.synthetic_pets(24, image_size=(32, 32), batch_size=8)


def light_fcn(pets):
    keras.utils.set_random_seed(0)
    return petseg.fcn32(class_names=pets.class_names, decoder_filters=8, **LIGHT)


def weights_by_kind(model):
    """Copies of the encoder's convolutions, its batch normalization, and all the rest."""
    encoder = model.get_layer("encoder")
    norms = [
        layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    is_norm = {id(weight) for layer in norms for weight in layer.weights}
    is_encoder = {id(weight) for weight in encoder.weights}
    kinds = {"convolutions": [], "norms": [], "decoder": []}
    for weight in model.weights:
        kind = "decoder" if id(weight) not in is_encoder else "convolutions"
        kinds["norms" if id(weight) in is_norm else kind].append(weight.numpy().copy())
    return kinds


def changed(before, after):
    return {
        kind: any(not np.array_equal(a, b) for a, b in zip(before[kind], after[kind], strict=True))
        for kind in before
    }


def test_the_frozen_stage_trains_the_decoder_alone(pets):
    model = light_fcn(pets)
    before = weights_by_kind(model)
    history = petseg.finetune(model, pets.train, pets.val, frozen_epochs=1, epochs=0)
    expected = {"convolutions": False, "norms": False, "decoder": True}
    assert changed(before, weights_by_kind(model)) == expected
    assert history.history["stage"] == ["frozen"]
    assert history.epoch == [0]
    names = {"loss", "pixel_accuracy", "mean_iou", "iou_pet", "iou_background", "iou_border"}
    assert history.history.keys() == {"stage"} | names | {f"val_{name}" for name in names}


@pytest.mark.parametrize("train_batch_norm", [False, True])
def test_the_thawed_stage_trains_all_but_batch_norm(pets, train_batch_norm):
    model = light_fcn(pets)
    before = weights_by_kind(model)
    history = petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=0,
        epochs=1,
        learning_rate=1e-3,
        train_batch_norm=train_batch_norm,
    )
    expected = {"convolutions": True, "norms": train_batch_norm, "decoder": True}
    assert changed(before, weights_by_kind(model)) == expected
    assert history.history["stage"] == ["thawed"]


def test_thawing_from_a_stage_up():
    encoder = petseg.fcn32(**LIGHT).get_layer("encoder")
    first = {}
    for thaw in ("all", "stage2", "stage3", "stage4", "stage5"):
        thaw_encoder(encoder, thaw)
        first[thaw] = next(layer.name for layer in encoder.layers if layer.trainable)
        norms = (keras.layers.BatchNormalization,)
        assert not any(layer.trainable for layer in encoder.layers if isinstance(layer, norms))
    assert first["stage5"] == "expanded_conv_8_expand"
    assert len(set(first.values())) == 5


def test_the_users_own_loss_metrics_and_optimizer_stay(pets):
    def own_loss(truth, logits):
        return keras.losses.sparse_categorical_crossentropy(truth, logits, from_logits=True)

    model = light_fcn(pets)
    model.compile(
        optimizer=keras.optimizers.SGD(0.5, momentum=0.9),
        loss=own_loss,
        metrics=[petseg.MeanIoU(3, pets.class_names)],
        jit_compile=False,
    )
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=1, epochs=0, learning_rate=1e-2)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert model.optimizer.momentum == 0.9
    assert model.loss is own_loss
    # A cosine from 1e-2 has come down to nothing.
    assert float(model.optimizer.learning_rate) < 1e-2


def test_class_weights_turn_the_prediction(pets):
    shares = {}
    for name, weights in (("border", (0.01, 0.01, 10.0)), ("background", (0.01, 10.0, 0.01))):
        model = light_fcn(pets)
        petseg.finetune(
            model,
            pets.train,
            pets.val,
            frozen_epochs=2,
            epochs=0,
            learning_rate=1e-2,
            class_weights=weights,
        )
        classes = model.predict(pets.val, verbose=0).argmax(-1)
        shares[name] = np.mean(classes == pets.class_names.index(name))
    assert shares["border"] > 0.9
    assert shares["background"] > 0.9


def test_the_model_ends_with_the_best_weights(pets, tmp_path):
    for run_dir in (None, tmp_path / "run"):
        model = light_fcn(pets)
        history = petseg.finetune(
            model,
            pets.train,
            pets.val,
            frozen_epochs=2,
            epochs=1,
            learning_rate=(1e-2, 0.5),  # the thawed epoch spoils what came before
            run_dir=run_dir,
        )
        best = max(history.history["val_mean_iou"])
        scores = model.evaluate(pets.val, verbose=0, return_dict=True)
        assert scores["mean_iou"] == pytest.approx(best, abs=1e-6)
    again = petseg.fcn32(
        class_names=pets.class_names,
        decoder_filters=8,
        backbone="mobilenetv3small",
        weights=str(tmp_path / "run" / "best.weights.h5"),
    )
    scores = again.evaluate(pets.val, verbose=0, return_dict=True)
    assert scores["mean_iou"] == pytest.approx(best, abs=1e-6)


SCRIPT = """
import sys, keras, petseg
pets = petseg.synthetic_pets(24, image_size=(32, 32), batch_size=8)
keras.utils.set_random_seed(0)
model = petseg.fcn32(
    class_names=pets.class_names, backbone="mobilenetv3small", weights=None, decoder_filters=8
)
run = {"frozen_epochs": 3, "epochs": 3, "run_dir": sys.argv[1]}
petseg.finetune(model, pets.train, pets.val, **run)
print("ITERATIONS", int(model.optimizer.iterations.numpy()))
"""


def test_a_killed_run_goes_on(tmp_path):
    run_dir = tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(run_dir)]

    def epochs_done():
        state = run_dir / "run.json"
        return len(json.loads(state.read_text())["epochs"]) if state.exists() else 0

    for wanted in (1, 4):  # in the frozen stage, and in the thawed one
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 240
        while epochs_done() < wanted:
            assert process.poll() is None, process.stderr.read().decode()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = json.loads((run_dir / "run.json").read_text())["epochs"]
        assert wanted <= len(before) < 6, "killed too late to tell"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # The optimizer of the thawed stage has counted its steps through the kill: 3 epochs of 2
    # batches.
    assert "ITERATIONS 6" in done.stdout
    state = json.loads((run_dir / "run.json").read_text())
    assert state["finished"]
    assert [row["stage"] for row in state["epochs"]] == ["frozen"] * 3 + ["thawed"] * 3
    assert state["epochs"][: len(before)] == before
    with (run_dir / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(6))
    assert {path.name for path in run_dir.iterdir()} == {
        "best.weights.h5",
        "frozen.weights.h5",
        "history.csv",
        "run.json",
        "tensorboard",
    }


class Stop(keras.callbacks.Callback):
    """Ends the training where a kill would, with the epochs before `epoch` done."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002 -- Keras passes it by name
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_a_stopped_run_comes_to_the_same_end(tmp_path):
    def train(folder, callbacks=()):
        keras.utils.set_random_seed(0)
        pets = petseg.synthetic_pets(24, image_size=(32, 32), batch_size=8)
        # Its dropout draws: that has to go on, too, as do order and augmentation.
        model = light_fcn(pets)
        run = {"frozen_epochs": 2, "epochs": 2, "run_dir": folder, "callbacks": callbacks}
        return petseg.finetune(model, pets.train, pets.val, **run).history["loss"]

    whole = train(tmp_path / "whole")
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", [Stop(epoch)])
    assert train(tmp_path / "stopped") == pytest.approx(whole, rel=1e-4)


def test_a_finished_run_is_not_trained_again_and_other_settings_are_refused(pets, tmp_path):
    arguments = {"frozen_epochs": 1, "epochs": 0, "run_dir": tmp_path}
    first = petseg.finetune(light_fcn(pets), pets.train, pets.val, **arguments)
    again = petseg.finetune(light_fcn(pets), pets.train, pets.val, **arguments)
    assert again.history == first.history
    with pytest.raises(ValueError, match="where epochs was 0, is 2"):
        petseg.finetune(light_fcn(pets), pets.train, pets.val, **{**arguments, "epochs": 2})


def test_labels_that_are_no_classes_stop_the_training(pets):
    shifted = pets.train.map(lambda images, masks: (images, masks + 1))
    model = light_fcn(pets)
    model.compile(loss=petseg.CrossEntropyDice(), metrics=[petseg.MeanIoU(3)], jit_compile=False)
    with pytest.raises(ValueError, match="Masks must hold class indices only"):
        petseg.finetune(model, shifted, pets.val, frozen_epochs=1, epochs=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frozen_epochs": -1}, "`frozen_epochs` must be an integer of 0 or more"),
        ({"epochs": 1.5}, "`epochs` must be an integer of 0 or more"),
        ({"learning_rate": 0}, "`learning_rate` must be a positive number"),
        ({"learning_rate": (1e-3,)}, "`learning_rate`"),
        ({"thaw": "block5"}, "`thaw` must be one of all, stage2"),
        ({"class_weights": (1, 2)}, "`class_weights` must hold 3 numbers"),
        ({"run_dir": __file__}, "`run_dir` must be a folder"),
    ],
)
def test_bad_arguments_are_answered(pets, arguments, message):
    with pytest.raises(ValueError, match=message):
        petseg.finetune(light_fcn(pets), pets.train, pets.val, **arguments)


def test_bad_models_and_datasets_are_answered(pets):
    plain = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 1)], name="plain")
    with pytest.raises(ValueError, match="`model` must be one of petseg's"):
        petseg.finetune(plain, pets.train, pets.val)
    with pytest.raises(ValueError, match="`train` must have a known, finite length"):
        petseg.finetune(light_fcn(pets), pets.train.repeat(), pets.val)
    model = light_fcn(pets)
    model.compile(loss=model.loss, metrics=["accuracy"], jit_compile=False)
    with pytest.raises(ValueError, match=r"compiled with `petseg.MeanIoU`"):
        petseg.finetune(model, pets.train, pets.val, frozen_epochs=1, epochs=0)
