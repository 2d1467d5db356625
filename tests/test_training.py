import contextlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import SIZE, Stop, batches, tiny_model, tiny_pets

import petseg
from petseg.training import thaw_encoder

TESTS = Path(__file__).parent
LIGHT = {"backbone": "mobilenetv3small", "weights": None}


@pytest.fixture(scope="module")
def pets():
    return tiny_pets()


def light_fcn():
    keras.utils.set_random_seed(0)
    return petseg.fcn32(class_names=petseg.PET_CLASSES, decoder_filters=8, **LIGHT)


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


# The two stages.


def test_the_frozen_stage_trains_the_decoder_alone():
    splits = petseg.synthetic_pets(24, image_size=(32, 32), batch_size=8)
    model = light_fcn()
    before = weights_by_kind(model)
    history = petseg.finetune(model, splits.train, splits.val, frozen_epochs=1, epochs=0, verbose=0)
    expected = {"convolutions": False, "norms": False, "decoder": True}
    assert changed(before, weights_by_kind(model)) == expected
    assert history.history["stage"] == ["frozen"]
    assert history.epoch == [0]
    assert history.history["seconds"][0] > 0
    names = {"loss", "pixel_accuracy", "mean_iou", "iou_pet", "iou_background", "iou_border"}
    expected = {"stage", "seconds"} | names | {f"val_{name}" for name in names}
    assert history.history.keys() == expected
    assert petseg.model_info(model).image_size == (32, 32)


@pytest.mark.parametrize("train_batch_norm", [False, True])
def test_the_thawed_stage_trains_all_but_batch_norm(pets, train_batch_norm):
    model = tiny_model()
    before = weights_by_kind(model)
    history = petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=0,
        epochs=1,
        learning_rate=1e-3,
        train_batch_norm=train_batch_norm,
        verbose=0,
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


class Rates(keras.callbacks.Callback):
    """The learning rate of each step, by number of the stage."""

    def __init__(self):
        super().__init__()
        self.stages = []

    def on_train_begin(self, logs=None):  # noqa: ARG002
        self.stages.append([])

    def on_train_batch_begin(self, batch, logs=None):  # noqa: ARG002
        self.stages[-1].append(float(self.model.optimizer.learning_rate))


def cosine(peak, steps):
    """Rises from a tenth over a twentieth of the steps, then falls to zero as a cosine."""
    warmup = steps // 20
    rise = [peak * (0.1 + 0.9 * step / warmup) for step in range(warmup)]
    left = steps - warmup
    return rise + [0.5 * peak * (1 + math.cos(math.pi * step / left)) for step in range(left)]


def test_rates_follow_the_formula_in_both_stages():
    train, rates = batches(20), Rates()
    petseg.finetune(
        tiny_model(),
        train,
        batches(1),
        frozen_epochs=2,
        epochs=3,
        learning_rate=(1e-2, 2e-3),
        callbacks=[rates],
        verbose=0,
    )
    frozen, thawed = rates.stages
    assert len(frozen) == 40
    assert len(thawed) == 60
    assert frozen[:3] == pytest.approx([1e-3, 5.5e-3, 1e-2])
    np.testing.assert_allclose(frozen, cosine(1e-2, 40), rtol=1e-4)
    np.testing.assert_allclose(thawed, cosine(2e-3, 60), rtol=1e-4)


def test_one_rate_gives_the_thawed_stage_three_tenths_and_numpy_numbers_are_numbers():
    rates = Rates()
    petseg.finetune(
        tiny_model(),
        batches(1),
        batches(1),
        frozen_epochs=np.int64(1),
        epochs=1,
        learning_rate=np.float32(0.5),
        schedule=None,
        callbacks=[rates],
        verbose=0,
    )
    assert rates.stages == [pytest.approx([0.5]), pytest.approx([0.15])]


def test_a_constant_rate_is_left_to_callbacks(pets):
    rates = Rates()
    lower = keras.callbacks.LearningRateScheduler(lambda epoch, _: 0.1 / (1 + epoch))
    plateau = keras.callbacks.ReduceLROnPlateau("val_mean_iou", mode="min", patience=99)
    model = tiny_model(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1.0, 9)))
    petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=1,
        epochs=2,
        schedule=None,
        callbacks=[lower, plateau, rates],
        verbose=0,
    )
    assert [stage[0] for stage in rates.stages] == pytest.approx([0.1, 0.05])
    assert rates.stages[1][-1] == pytest.approx(0.1 / 3)


def test_callbacks_see_each_stage_once(pets):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_begin=lambda _: seen.append("begin"),
        on_epoch_begin=lambda epoch, _: seen.append(epoch),
        on_train_end=lambda _: seen.append("end"),
    )
    petseg.finetune(
        tiny_model(),
        pets.train,
        pets.val,
        frozen_epochs=2,
        epochs=1,
        callbacks=[watch],
        verbose=0,
    )
    assert seen == ["begin", 0, 1, "end", "begin", 2, "end"]


class StopAt(keras.callbacks.Callback):
    """Ends a stage after an epoch, and puts other weights into the model, as EarlyStopping does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.stopped = epoch, False

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        if epoch == self.epoch:
            self.stopped = self.model.stop_training = True

    def on_train_end(self, logs=None):  # noqa: ARG002
        if self.stopped:
            self.model.set_weights([0.5 * weight for weight in self.model.get_weights()])
            self.stopped = False


def test_a_stage_that_a_callback_ends_leaves_the_next_its_full_schedule(pets):
    rates = Rates()
    model = tiny_model()
    history = petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=5,
        epochs=3,
        learning_rate=(1e-2, 1e-3),
        callbacks=[StopAt(1), rates],
        verbose=0,
    )
    assert history.history["stage"] == ["frozen"] * 2 + ["thawed"] * 3
    np.testing.assert_allclose(rates.stages[1], cosine(1e-3, 6), rtol=1e-4)


def test_early_stopping_ends_its_stage(pets):
    def never_better(_epoch, logs):
        logs["constant"] = 1.0

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_end=never_better),
        keras.callbacks.EarlyStopping("constant", mode="max", patience=1),
    ]
    history = petseg.finetune(
        tiny_model(),
        pets.train,
        pets.val,
        frozen_epochs=4,
        epochs=4,
        callbacks=callbacks,
        verbose=0,
    )
    assert history.history["stage"] == ["frozen"] * 2 + ["thawed"] * 2


# The user's own objects.


class OwnIoU(petseg.MeanIoU):
    """A metric that is not registered."""


class OwnOptimizer(keras.optimizers.AdamW):
    """An optimizer that its configuration cannot build."""

    def __init__(self, factor):
        super().__init__(weight_decay=0.5)
        self.factor = factor

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * self.factor, variable, learning_rate)


def test_the_users_own_objects_stay(pets):
    optimizer = OwnOptimizer(0.0)  # Only the weight decay changes weights.
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss = lambda truth, logits: keras.losses.sparse_categorical_crossentropy(  # noqa: E731
        truth, logits, from_logits=True
    )
    metric = OwnIoU(3, petseg.PET_CLASSES)
    model = tiny_model(optimizer, loss, [metric])
    head = model.layers[-1]
    head.bias.assign([1.0, 2.0, 3.0])
    kernel = head.kernel.numpy()
    petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=1,
        epochs=1,
        learning_rate=(0.1, 0.1),
        schedule=None,
        verbose=0,
    )
    assert model.optimizer is optimizer
    assert model.loss is loss
    assert float(metric.result()["mean_iou"]) > 0
    np.testing.assert_array_equal(head.bias.numpy(), [1.0, 2.0, 3.0])
    best = [0.95**2, 0.95**4]  # Two steps an epoch; the model has the best of two epochs.
    share = head.kernel.numpy() / kernel
    assert min(np.abs(share - value).max() for value in best) < 1e-5


def test_a_loss_and_a_metric_of_the_same_name_stay_apart(pets):
    class Score(keras.losses.Loss):
        def __init__(self):
            super().__init__(name="score")

        def call(self, truth, logits):
            truth = keras.ops.squeeze(truth, -1)
            return keras.ops.sparse_categorical_crossentropy(truth, logits, from_logits=True)

    metric = keras.metrics.SparseCategoricalAccuracy(name="score")
    model = tiny_model(loss=Score(), metrics=[petseg.MeanIoU(3), metric])
    history = petseg.finetune(
        model, pets.train, pets.val, frozen_epochs=1, epochs=1, verbose=0
    ).history
    assert history["val_score"] == pytest.approx(history["val_pixel_accuracy"], abs=1e-5)


def test_a_model_that_was_trained_and_loaded_starts_with_a_fresh_optimizer(pets, tmp_path):
    model = tiny_model()
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=1, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    for again in (model, keras.models.load_model(tmp_path / "model.keras")):
        petseg.finetune(
            again, pets.train, pets.val, frozen_epochs=1, epochs=2, schedule=None, verbose=0
        )
        assert int(again.optimizer.iterations) == 4
        # Count and rate, and two moments of each of the four trained weights.
        assert len(again.optimizer.variables) == 2 + 2 * 4
        again.save(tmp_path / "again.keras")
        keras.models.load_model(tmp_path / "again.keras")


@pytest.mark.parametrize(
    ("optimizer", "callbacks"),
    [
        (lambda: keras.optimizers.SGD(gradient_accumulation_steps=2), list),
        (
            lambda: keras.optimizers.AdamW(use_ema=True),
            lambda: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
        ),
        (keras.optimizers.Muon, list),
        (keras.optimizers.Adafactor, list),
    ],
)
def test_optimizers_with_other_state_train_both_stages(pets, optimizer, callbacks):
    model = tiny_model(optimizer())
    before = weights_by_kind(model)
    history = petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=1,
        epochs=2,
        callbacks=callbacks(),
        verbose=0,
    )
    assert history.history["stage"] == ["frozen", "thawed", "thawed"]
    assert changed(before, weights_by_kind(model))["decoder"]
    assert np.isfinite(history.history["loss"]).all()


def test_steps_per_execution_stays(pets):
    model = tiny_model(steps_per_execution=2)
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=1, epochs=1, verbose=0)
    assert model.steps_per_execution == 2
    assert int(model.optimizer.iterations) == 2


# Weights of classes, and the best epoch.


def test_class_weights_turn_the_prediction(pets):
    shares = {}
    for name, weights in (("border", (0.01, 0.01, 10.0)), ("background", (0.01, 10.0, 0.01))):
        model = tiny_model()
        petseg.finetune(
            model,
            pets.train,
            pets.val,
            frozen_epochs=6,
            epochs=0,
            learning_rate=0.2,
            class_weights=np.array(weights),
            run_dir=None,
            verbose=0,
        )
        classes = model.predict(pets.val, verbose=0).argmax(-1)
        shares[name] = np.mean(classes == pets.class_names.index(name))
    assert shares["border"] > 0.9
    assert shares["background"] > 0.9


def test_class_weights_count_alike_for_masks_with_and_without_a_last_axis():
    losses = [
        petseg.finetune(
            tiny_model(),
            batches(2, 4, masks_rank),
            batches(1, 4, masks_rank),
            frozen_epochs=1,
            epochs=0,
            class_weights=(1, 2, 3),
            verbose=0,
        ).history["loss"]
        for masks_rank in (3, 4)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


class Ruin(keras.callbacks.Callback):
    """Spoils the weights at the end of an epoch, before it is validated."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.now = epoch, -1

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self.now = epoch

    def on_test_begin(self, logs=None):  # noqa: ARG002
        if self.now == self.epoch:
            bias = self.model.layers[-1].bias
            bias.assign([-1e3, -1e3, 1e3])  # Everything is border.


@pytest.mark.parametrize("in_folder", [False, True])
def test_the_model_ends_with_the_best_weights(pets, tmp_path, in_folder):
    model = tiny_model()
    history = petseg.finetune(
        model,
        pets.train,
        pets.val,
        frozen_epochs=2,
        epochs=1,
        run_dir=tmp_path if in_folder else None,
        callbacks=[Ruin(2)],
        verbose=0,
    ).history
    scores = history["val_mean_iou"]
    assert scores[2] < max(scores)
    found = model.evaluate(pets.val, verbose=0, return_dict=True)
    assert found["mean_iou"] == pytest.approx(max(scores), abs=1e-6)
    if in_folder:
        for name in ("best", "frozen"):
            again = tiny_model()
            again = keras.Model(again.inputs, again.outputs)
            again.load_weights(tmp_path / f"{name}.weights.h5")
            np.testing.assert_allclose(
                again.predict(pets.val, verbose=0), model.predict(pets.val, verbose=0), rtol=1e-5
            )


# Runs that are stopped.

SAME_END = """
import json, sys, keras, petseg
sys.path.insert(0, sys.argv[1])
from tiny import Stop, tiny_model, tiny_pets

def train(folder, *callbacks):
    pets = tiny_pets(seed=3)
    model = tiny_model(keras.optimizers.AdamW())
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=2, epochs=2,
                    run_dir=folder, callbacks=callbacks, verbose=0)
    return json.loads((folder / "run.json").read_text())["epochs"], model.get_weights()

from pathlib import Path
out = Path(sys.argv[2])
whole, weights = train(out / "whole")
for epoch in (1, 2, 3):
    try:
        train(out / "stopped", Stop(epoch))
    except KeyboardInterrupt:
        pass
    else:
        sys.exit("not stopped")
stopped, again = train(out / "stopped")
for row, other in zip(whole, stopped, strict=True):
    del row["seconds"], other["seconds"]
    for name in row:
        same = row[name] == other[name]
        assert same or abs(row[name] - other[name]) < 2e-5, (name, row[name], other[name])
for one, other in zip(weights, again, strict=True):
    assert abs(one - other).max() < 1e-4
print("SAME", keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_stopped_run_comes_to_the_same_end(tmp_path, backend):
    done = subprocess.run(
        [sys.executable, "-c", SAME_END, str(TESTS), str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert f"SAME {backend}" in done.stdout, done.stderr[-2000:]


KILLED = """
import os, sys, keras, petseg
sys.path.insert(0, sys.argv[1])
from tiny import tiny_model, tiny_pets
die = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, _: os._exit(9) if epoch == int(sys.argv[3]) else None
)
pets = tiny_pets()
petseg.finetune(tiny_model(), pets.train, pets.val, frozen_epochs=3, epochs=3,
                run_dir=sys.argv[2], callbacks=[die], verbose=0)
"""


def test_a_killed_run_goes_on(pets, tmp_path):
    run_dir = tmp_path / "run"
    arguments = [sys.executable, "-c", KILLED, str(TESTS), str(run_dir), "4"]
    killed = subprocess.run(arguments, capture_output=True)
    assert killed.returncode == 9, killed.stderr[-2000:]
    before = json.loads((run_dir / "run.json").read_text())
    assert before["status"] == "training"
    assert before["stages"]["thawed"] == {"epochs": 1, "stopped": False}
    model = tiny_model()
    petseg.finetune(
        model, pets.train, pets.val, frozen_epochs=3, epochs=3, run_dir=run_dir, verbose=0
    )
    # The optimizer of the thawed stage counted on: 3 epochs of 2 batches.
    assert int(model.optimizer.iterations) == 6
    state = json.loads((run_dir / "run.json").read_text())
    assert state["status"] == "trained"
    assert [row["stage"] for row in state["epochs"]] == ["frozen"] * 3 + ["thawed"] * 3
    assert state["epochs"][:4] == before["epochs"]
    lines = (run_dir / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", *"012345"]
    assert {path.name for path in run_dir.iterdir()} == {
        "best.weights.h5",
        "frozen.weights.h5",
        "history.csv",
        "run.json",
        "tensorboard",
    }


def test_a_stage_ended_by_a_callback_stays_ended_when_the_run_is_resumed(pets, tmp_path):
    def train(folder, *callbacks):
        model = tiny_model()
        petseg.finetune(
            model,
            tiny_pets().train,
            pets.val,
            frozen_epochs=5,
            epochs=3,
            run_dir=tmp_path / folder,
            callbacks=[StopAt(1), *callbacks],
            verbose=0,
        )
        return model

    whole = train("whole")
    for epoch in (2, 4):  # Before the first thawed epoch, and before the last.
        with pytest.raises(KeyboardInterrupt):
            train("stopped", Stop(epoch))
    model = train("stopped")
    assert model.get_layer("encoder").get_layer("conv").trainable
    assert int(model.optimizer.iterations) == 6
    state = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert state["stages"]["frozen"] == {"epochs": 2, "stopped": True}
    assert state["stages"]["thawed"] == {"epochs": 3, "stopped": False}
    for one, other in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_loss_scale_of_half_precision_survives(pets, tmp_path):
    def train(*callbacks):
        inner = keras.optimizers.SGD(momentum=0.5)
        optimizer = keras.optimizers.LossScaleOptimizer(inner, dynamic_growth_steps=3)
        model = tiny_model(optimizer)
        found = []
        watch = keras.callbacks.LambdaCallback(
            on_train_begin=lambda _: found.extend(
                [int(optimizer.step_counter), float(optimizer.dynamic_scale)]
            )
        )
        arguments = {"frozen_epochs": 0, "epochs": 3, "run_dir": tmp_path, "verbose": 0}
        with contextlib.suppress(KeyboardInterrupt):
            petseg.finetune(model, pets.train, pets.val, **arguments, callbacks=[watch, *callbacks])
        return found, int(optimizer.iterations)

    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert train(Stop(2)) == ([0, 2.0**15], 4)
        # Of four steps, the third doubled the scale, and the fourth counts.
        assert train() == ([1, 2.0**16], 6)
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_finished_run_is_not_trained_again(pets, tmp_path):
    arguments = {"frozen_epochs": 1, "epochs": 1, "run_dir": tmp_path, "verbose": 0}
    model, again = tiny_model(), tiny_model()
    first = petseg.finetune(model, pets.train, pets.val, **arguments)
    second = petseg.finetune(again, pets.train, pets.val, **arguments, callbacks=[Stop(0)])
    assert second.history == first.history
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def dice_model():
    return tiny_model(loss=petseg.CrossEntropyDice())


CHANGES = {
    "epochs": ("epochs was 1, is 2", {"epochs": 2}, tiny_model, tiny_pets),
    "optimizer": ("optimizer was .*'Adam'.*is .*'SGD'", {}, lambda: tiny_model("sgd"), tiny_pets),
    "loss": ("loss was .*is .*CrossEntropyDice", {}, dice_model, tiny_pets),
    "seed": ("'seed': 0.*'seed': 1", {}, tiny_model, lambda: tiny_pets(seed=1)),
    "batch size": (
        "'batch_size': 8.*'batch_size': 4",
        {},
        tiny_model,
        lambda: petseg.synthetic_pets(24, image_size=SIZE, batch_size=4),
    ),
    "augmentation": (
        r"'augment': \{.*'mosaic': 0\.0.*'augment': \{.*'mosaic': 0\.25",
        {},
        tiny_model,
        lambda: petseg.synthetic_pets(24, image_size=SIZE, batch_size=8, augment="strong"),
    ),
    "no augmentation": (
        r"'augment': \{.*'augment': None",
        {},
        tiny_model,
        lambda: petseg.synthetic_pets(24, image_size=SIZE, batch_size=8, augment=False),
    ),
    "image size": (
        "16, 16",
        {},
        tiny_model,
        lambda: petseg.synthetic_pets(24, image_size=(16, 16), batch_size=8),
    ),
    "schedule": ("schedule was 'cosine', is None", {"schedule": None}, tiny_model, tiny_pets),
    "weights": ("class_weights was None", {"class_weights": np.ones(3)}, tiny_model, tiny_pets),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_settings_are_refused(pets, tmp_path, change):
    message, other, model, data = CHANGES[change]
    arguments = {"frozen_epochs": 1, "epochs": 1, "run_dir": tmp_path, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        petseg.finetune(tiny_model(), pets.train, pets.val, **arguments, callbacks=[Stop(1)])
    splits = data()
    with pytest.raises(ValueError, match=f"holds a run with other settings: .*{message}"):
        petseg.finetune(model(), splits.train, splits.val, **{**arguments, **other})


@pytest.mark.parametrize("name", ["backend", "dtype_policy"])
def test_another_backend_or_precision_is_refused(pets, tmp_path, name):
    arguments = {"frozen_epochs": 1, "epochs": 1, "run_dir": tmp_path, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        petseg.finetune(tiny_model(), pets.train, pets.val, **arguments, callbacks=[Stop(1)])
    state = json.loads((tmp_path / "run.json").read_text())
    state["settings"]["training"][name] = "another"
    (tmp_path / "run.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=f"{name} was 'another', is"):
        petseg.finetune(tiny_model(), pets.train, pets.val, **arguments)


@pytest.mark.parametrize("name", ["best.weights.h5", "epoch-001.weights.h5", "run.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_files_are_named_before_training(pets, tmp_path, name, damage):
    arguments = {"frozen_epochs": 1, "epochs": 1, "run_dir": tmp_path, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        petseg.finetune(tiny_model(), pets.train, pets.val, **arguments, callbacks=[Stop(1)])
    path = tmp_path / name
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif name != "run.json":
        path.unlink()
    else:
        path.write_text("null")
    with pytest.raises(ValueError, match=rf"{name} is (damaged|missing)") as caught:
        petseg.finetune(tiny_model(), pets.train, pets.val, **arguments, callbacks=[Stop(1)])
    assert "start again in a new folder" in str(caught.value)
    assert not (tmp_path / ".lock").exists()


# What is refused.


def test_labels_that_are_no_classes_stop_the_training(pets):
    shifted = pets.train.map(lambda images, masks: (images, masks + 1))
    model = tiny_model(loss=petseg.CrossEntropyDice())
    with pytest.raises(ValueError, match="Masks must hold class indices only"):
        petseg.finetune(model, shifted, pets.val, frozen_epochs=1, epochs=0, verbose=0)


def test_terminate_on_nan_ends_a_diverged_epoch_at_once(pets):
    shifted = pets.train.map(lambda images, masks: (images, masks + 1))
    steps = []
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: steps.append((batch, logs))
        ),
    ]
    model = tiny_model(loss=petseg.CrossEntropyDice())
    with pytest.raises(ValueError, match="the loss is nan"):
        petseg.finetune(
            model,
            shifted,
            pets.val,
            frozen_epochs=1,
            epochs=0,
            callbacks=callbacks,
            verbose=0,
        )
    assert [batch for batch, _ in steps] == [0]


def test_text_in_the_logs_stays_in_the_history(pets, tmp_path):
    def note(_epoch, logs):
        logs["note"] = "half way"

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=note)]
    arguments = {"frozen_epochs": 1, "epochs": 0, "run_dir": tmp_path, "verbose": 0}
    for _ in range(2):
        history = petseg.finetune(
            tiny_model(), pets.train, pets.val, **arguments, callbacks=callbacks
        )
        assert history.history["note"] == ["half way"]
    assert petseg.plot_history(tmp_path / "history.csv").axes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frozen_epochs": -1}, "`frozen_epochs` must be an integer of 0 or more"),
        ({"epochs": 1.5}, "`epochs` must be an integer of 0 or more"),
        ({"epochs": True}, "`epochs` must be an integer of 0 or more"),
        ({"learning_rate": 0}, "`learning_rate` must be a positive number"),
        ({"learning_rate": (1e-3,)}, "`learning_rate`"),
        ({"learning_rate": (1e-3, math.nan)}, "`learning_rate`"),
        ({"schedule": "linear"}, "`schedule` must be one of cosine, None"),
        ({"thaw": "block5"}, "`thaw` must be one of all, stage2"),
        ({"class_weights": (1, 2)}, "`class_weights` must hold 3 numbers"),
        ({"class_weights": (1, 2, math.nan)}, "`class_weights` must hold 3 numbers"),
        ({"run_dir": __file__}, "`run_dir` must be a folder"),
        ({"callbacks": [keras.callbacks.ReduceLROnPlateau()]}, "ReduceLROnPlateau.*schedule=None"),
        (
            {"callbacks": [keras.callbacks.LearningRateScheduler(lambda _: 1.0)]},
            "LearningRateScheduler.*schedule=None",
        ),
        ({"callbacks": [keras.callbacks.BackupAndRestore("x")]}, "BackupAndRestore.*run_dir"),
        ({"callbacks": [print]}, "`callbacks` must be a list of callbacks"),
        ({"callbacks": keras.callbacks.History()}, "`callbacks` must be a list of callbacks"),
        ({"train_batch_norm": "yes"}, "`train_batch_norm` must be True or False"),
        ({"verbose": 3}, "`verbose` must be one of auto, 0, 1, 2"),
    ],
)
def test_bad_arguments_are_answered(pets, arguments, message):
    with pytest.raises(ValueError, match=message):
        petseg.finetune(tiny_model(), pets.train, pets.val, **arguments)


def plain_model():
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)], name="plain")


def uncompiled_model():
    model = tiny_model()
    return keras.Model(model.inputs, model.outputs)


def two_optimizers():
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD())
    return tiny_model(keras.optimizers.MultiOptimizer(optimizers))


NO_METRIC = r"compiled with `petseg.MeanIoU` under its own name"
BAD_MODELS = {
    "plain": (plain_model, "`model` must be one of petseg's"),
    "no model": (lambda: "unet", "`model` must be one of petseg's"),
    "uncompiled": (uncompiled_model, "`model` must be compiled"),
    "no metric": (lambda: tiny_model(metrics=["accuracy"]), NO_METRIC),
    "renamed": (lambda: tiny_model(metrics=[petseg.MeanIoU(3, name="other")]), NO_METRIC),
    "steps": (lambda: tiny_model(steps_per_execution=3), "`steps_per_execution` that divides"),
    "optimizers": (two_optimizers, "one learning rate. Received: MultiOptimizer"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_models_are_answered(pets, kind):
    make, message = BAD_MODELS[kind]
    with pytest.raises(ValueError, match=message):
        petseg.finetune(make(), pets.train, pets.val)


class Own(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.zeros((1, *SIZE, 3)), np.zeros((1, *SIZE, 1))


ARRAYS = (np.zeros((4, *SIZE, 3)), np.zeros((4, *SIZE, 1)))
BAD_DATASETS = [
    ("train", lambda good: good.repeat(), "Received: an infinite dataset"),
    ("train", lambda good: good.filter(lambda *_: True), "Received: a dataset of unknown length"),
    ("train", lambda good: good.take(0), "`train` must have .*Received: 0 batches"),
    ("train", lambda good: good.unbatch(), r"needs `\.batch\(16\)`"),
    ("train", lambda good: good.map(lambda images, _: images), "`train` must yield batches"),
    ("train", lambda _: ARRAYS, "`train` must be a tf.data.Dataset.*Received: tuple"),
    ("train", lambda _: Own(), "`train` must be a tf.data.Dataset.*Received: Own"),
    ("val", lambda _: ARRAYS, "`val` must be a tf.data.Dataset.*Received: tuple"),
    ("val", lambda _: Own(), "`val` must be a tf.data.Dataset.*Received: Own"),
    ("val", lambda _: None, "`val` must be a tf.data.Dataset.*Received: NoneType"),
    ("val", lambda good: good.take(0), "`val` must have .*Received: 0 batches"),
    ("val", lambda good: good.filter(lambda *_: False), "`val` must have .*Received: 0 batches"),
    ("val", lambda good: good.repeat(), "`val` must have .*Received: an infinite dataset"),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD_DATASETS)
def test_bad_datasets_are_answered(name, change, message):
    datasets = {"train": batches(2), "val": batches(1), name: change(batches(2))}
    with pytest.raises((ValueError, TypeError), match=message):
        petseg.finetune(tiny_model(), **datasets)


def test_sample_weights_are_used_and_exclude_class_weights():
    zero = batches(2).map(lambda images, masks: (images, masks, tf.zeros_like(masks[..., 0])))
    with pytest.raises(ValueError, match="`class_weights` must be None"):
        petseg.finetune(tiny_model(), zero, batches(1), class_weights=(1, 1, 1))
    history = petseg.finetune(
        tiny_model(), zero, batches(1), frozen_epochs=1, epochs=0, verbose=0
    ).history
    assert history["loss"] == [0.0]


def test_weights_that_the_loss_does_not_respect_are_refused():
    model = tiny_model(loss=petseg.CrossEntropyDice())
    with pytest.raises(ValueError, match=r"`class_weights` must be given to the loss: `petseg\.C"):
        petseg.finetune(model, batches(2), batches(1), class_weights=(1, 1, 2))
    weighted = batches(2).map(lambda images, masks: (images, masks, tf.ones_like(masks[..., 0])))
    with pytest.raises(ValueError, match="`train` must have no sample weights"):
        petseg.finetune(model, weighted, batches(1))


def test_images_in_0_to_1_are_refused():
    divided = batches(2).map(lambda images, masks: (images / 255, masks))
    with pytest.raises(ValueError, match=r"`train` must hold images in \[0, 255\].*Multiply"):
        petseg.finetune(tiny_model(), divided, batches(1), epochs=0, verbose=0)


# Keras says so when it learns the length, at the end of the first epoch.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_validation_of_unknown_length_is_fine():
    val = batches(2).filter(lambda *_: True)
    history = petseg.finetune(tiny_model(), batches(2), val, frozen_epochs=1, epochs=0, verbose=0)
    assert len(history.epoch) == 1
