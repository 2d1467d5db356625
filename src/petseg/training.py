"""Fine-tuning in two stages: the decoder on a frozen encoder, then the encoder too."""

import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from petseg.checkpoint import Run, RunLog

THAW_STAGES = ("all", "stage2", "stage3", "stage4", "stage5")


def finetune(
    model: keras.Model,
    train: Any,
    val: Any,
    *,
    frozen_epochs: int = 3,
    epochs: int = 10,
    learning_rate: float | tuple[float, float] = (1e-3, 3e-4),
    thaw: str = "all",
    class_weights: Sequence[float] | None = None,
    train_batch_norm: bool = False,
    run_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Trains `frozen_epochs` with the encoder frozen, then `epochs` with it thawed.

    `train` and `val` are datasets of batches `(images, masks)`, of a known length. Each stage
    compiles the model with its own loss, metrics and kind of optimizer, at a rate that rises to
    `learning_rate` over its first twentieth and falls to zero as a cosine (arXiv:1608.03983). A
    pair is the peaks of the two stages; of a single rate, the thawed stage takes three tenths.

    `thaw` names the encoder's first stage to be trained: "all", or "stage2" to "stage5", where
    stage n ends at stride 2 ** n. Its batch normalization keeps the pretrained statistics, scale
    and offset unless `train_batch_norm`: small batches would spoil them. `class_weights`, one a
    class, weigh each pixel's loss.

    The model ends with the weights of the epoch that had the best mean IoU on `val`. `run_dir`
    keeps these (`best.weights.h5`), the best of before the thaw (`frozen.weights.h5`), the history
    (`history.csv`, and TensorBoard's where it is installed) and, after each epoch, all that is
    needed to go on: the same call goes on from the last finished epoch of a run that was killed,
    and with petseg's datasets comes to the same end.

    Returns one history over both stages, with the stage of each epoch under "stage". Raises
    `ValueError` when an argument is out of its range, when `run_dir` holds a run with other
    settings, and when the loss is no longer finite.
    """
    encoder = _encoder_of(model)
    rates = _peak_rates(learning_rate)
    for name, count in (("frozen_epochs", frozen_epochs), ("epochs", epochs)):
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"`{name}` must be an integer of 0 or more. Received: {count!r}.")
    if thaw not in THAW_STAGES:
        raise ValueError(f"`thaw` must be one of {', '.join(THAW_STAGES)}. Received: {thaw!r}.")
    steps = _number_of_batches(train)
    settings = {
        "model": model.name,
        "parameters": model.count_params(),
        "frozen_epochs": frozen_epochs,
        "epochs": epochs,
        "learning_rate": list(rates),
        "thaw": thaw,
        "class_weights": None if class_weights is None else list(class_weights),
        "train_batch_norm": train_batch_norm,
    }
    if class_weights is not None:
        train = _weighted(train, class_weights, model.output_shape[-1])
    run = Run.open(run_dir, settings)
    run.pass_over(train)
    stages = (
        ("frozen", 0, frozen_epochs, rates[0]),
        ("thawed", frozen_epochs, frozen_epochs + epochs, rates[1]),
    )
    for stage, begin, end, rate in stages:
        if begin == end or run.epoch > end or run.finished:
            continue
        if stage == "frozen":
            encoder.trainable = False
        else:
            thaw_encoder(encoder, thaw, train_batch_norm)
        _compile_again(model, rate, (end - begin) * steps)
        if run.epoch > begin:
            run.restore(model)
        if run.epoch < end:
            model.fit(
                train,
                validation_data=val,
                initial_epoch=run.epoch,
                epochs=end,
                shuffle=False,  # the order is the dataset's own
                callbacks=[*callbacks, *run.tensorboard(), RunLog(run, stage)],
            )
    run.finish(model)
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch, history.history = run.history()
    return history


def thaw_encoder(encoder: keras.Model, thaw: str = "all", train_batch_norm: bool = False) -> None:
    """Makes the encoder's layers trainable from the stage `thaw` up, and no others.

    Compile the model again afterwards: until then, what was frozen stays so.
    """
    names = [layer.name for layer in encoder.layers]
    first = 0
    if thaw != "all":
        tap = encoder.outputs[int(thaw.removeprefix("stage")) - 2]
        first = names.index(tap._keras_history.operation.name) + 1
    encoder.trainable = True
    for index, layer in enumerate(encoder.layers):
        is_frozen_norm = isinstance(layer, layers.BatchNormalization) and not train_batch_norm
        layer.trainable = index >= first and not is_frozen_norm


def _compile_again(model: keras.Model, learning_rate: float, steps: int) -> None:
    """Compiles with the same loss, metrics and kind of optimizer, at a new rate.

    Only then do changes of `trainable` count.
    """
    optimizer = model.optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    warmup_steps = steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        decay_steps=max(1, steps - warmup_steps),
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )
    rebuilt = type(optimizer).from_config({**optimizer.get_config(), "learning_rate": schedule})
    config = model.get_compile_config()
    config["optimizer"] = keras.saving.serialize_keras_object(rebuilt)
    # A loss or metric of the user's own needs no registration to be compiled again.
    own = [model.loss, *model.metrics]
    own = [item if hasattr(item, "__name__") else type(item) for item in own]
    with keras.saving.custom_object_scope({item.__name__: item for item in own}):
        model.compile_from_config(config)


def _weighted(train: Any, class_weights: Sequence[float], num_classes: int) -> Any:
    """The batches of `train` with each pixel's weight as a third part."""
    if len(class_weights) != num_classes or min(class_weights) < 0 or max(class_weights) == 0:
        raise ValueError(
            f"`class_weights` must hold {num_classes} numbers of 0 or more, not all 0. "
            f"Received: {class_weights!r}."
        )
    import tensorflow as tf

    table = tf.constant(class_weights, tf.float32)

    def weigh(images: Any, masks: Any) -> tuple[Any, Any, Any]:
        one_hot = tf.one_hot(tf.squeeze(masks, -1), num_classes)
        return images, masks, tf.linalg.matvec(one_hot, table)

    return train.map(weigh)


def _encoder_of(model: keras.Model) -> keras.Model:
    try:
        return model.get_layer("encoder")
    except ValueError:
        raise ValueError(
            '`model` must be one of petseg\'s, with a layer named "encoder" to freeze. '
            f"Received: {model.name!r}, which has none: train it with `model.fit`."
        ) from None


def _peak_rates(learning_rate: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(learning_rate, (int, float)):
        learning_rate = (learning_rate, 0.3 * learning_rate)
    rates = tuple(learning_rate)
    if len(rates) != 2 or not all(isinstance(rate, (int, float)) and rate > 0 for rate in rates):
        raise ValueError(
            "`learning_rate` must be a positive number, or a pair of them: frozen and thawed. "
            f"Received: {learning_rate!r}."
        )
    return rates


def _number_of_batches(train: Any) -> int:
    try:
        return len(train)
    except TypeError:
        raise ValueError(
            "`train` must have a known, finite length, for the schedule of the learning rate. "
            "Give a tf.data.Dataset its length with `tf.data.experimental.assert_cardinality`."
        ) from None
