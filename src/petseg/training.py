"""Fine-tuning in two stages: the decoder with a frozen encoder, then the encoder as well."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from petseg.checkpoint import Run
from petseg.class_balance import balanced_weights, checked_class_weights
from petseg.compilation import Compilation, LearningRate
from petseg.data.epochs import batches_from_epoch, seeded_epochs
from petseg.devices import parts_of_batches, training_scope
from petseg.epoch_recorder import EpochRecorder
from petseg.losses import CrossEntropyDice, OneHotLoss
from petseg.model_records import model_info, update_info
from petseg.processes import naming_lost_processes
from petseg.run_state import FROZEN, THAWED
from petseg.training_arguments import (
    check_batches,
    check_callbacks,
    check_channels,
    check_encoder,
    check_no_weights,
    check_train,
    check_val,
    learning_rates,
    pixel_errors,
    with_checked_pixels,
)
from petseg_runtime import validation

THAW_STAGES = ("all", "stage2", "stage3", "stage4", "stage5")
SCHEDULES = ("cosine", None)


def finetune(
    model: keras.Model,
    train: tf.data.Dataset,
    val: tf.data.Dataset,
    *,
    frozen_epochs: int = 3,
    epochs: int = 10,
    learning_rate: float | tuple[float, float] = (1e-3, 3e-4),
    schedule: str | None = "cosine",
    thaw: str = "all",
    class_weights: Sequence[float] | str | None = None,
    train_batch_norm: bool = False,
    run_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Trains a model in two stages: first with its encoder frozen, then with the encoder thawed.

    Each stage compiles the model again with its own optimizer, loss and metrics objects. The
    optimizer starts without state. The model ends with the weights of the epoch that had the best
    mean IoU on `val`. The image size of `train` becomes that of the model's record.

    With `run_dir`, training is resumable: the same call continues an interrupted run after its last
    complete epoch. With petseg's datasets, the result equals that of an uninterrupted run. The
    order of other datasets after resuming depends on the dataset. The state of callbacks is not
    saved, so callbacks start from their initial state.

    Args:
        model: A compiled model of petseg, with a layer "encoder" and a metric `mean_iou`.
        train: Batches `(images, masks)`, or `(images, masks, sample_weights)`, of known number.
            Images are `(N, H, W, C)` in [0, 255], masks and weights `(N, H, W, 1)` or `(N, H, W)`.
        val: Batches for validation, in the same layout.
        frozen_epochs: Number of epochs with the encoder frozen.
        epochs: Number of epochs after that, with the encoder thawed.
        learning_rate: Learning rates of the frozen and the thawed stage. If it is a single number,
            the thawed stage uses 0.3 times that number.
        schedule: "cosine" lets the learning rate rise to `learning_rate` over the first twentieth
            of each stage and fall to zero as a cosine (arXiv:1608.03983). None keeps it constant,
            for callbacks that change it.
        thaw: First stage of the encoder that is trained: "all", or "stage2" to "stage5", where
            stage n ends at stride 2 ** n.
        class_weights: Weight of each class in the loss of a pixel, or None. "balanced" counts the
            classes in `train` and weighs rare ones more: `1 / log(1.02 + share)`
            (arXiv:1606.02147), scaled to a mean of 1 over all pixels with a class.
        train_batch_norm: Whether the encoder's batch normalization is trained too. By default it
            keeps its pretrained statistics, scale and offset, which small batches would spoil.
        run_dir: Folder that keeps `best.weights.h5`, `frozen.weights.h5` (the best epoch before
            the encoder was thawed), `history.csv`, TensorBoard's logs where that is installed, and
            the state of the run. None keeps nothing.
        callbacks: Callbacks of Keras. One that stops the training, such as `EarlyStopping`, ends
            its stage.
        verbose: What Keras prints: "auto", 0 (nothing), 1 (a progress bar) or 2 (a line for each
            epoch).

    Returns:
        One history over both stages. It has the stage of each epoch under "stage" and its duration
        under "seconds".

    Raises:
        ValueError: If an argument is out of its range, if `run_dir` holds a run with other settings
            or a damaged file, or if the loss is no longer finite.
        TypeError: If `train` or `val` is not a `tf.data.Dataset`.
        BlockingIOError: If another process trains in `run_dir`.

    Example:
        >>> pets = petseg.load_pets()
        >>> model = petseg.unet(class_names=pets.class_names)
        >>> history = petseg.finetune(model, pets.train, pets.val, run_dir="runs/unet")
    """
    plan = Plan.check(
        model,
        train,
        val,
        frozen_epochs=frozen_epochs,
        epochs=epochs,
        learning_rate=learning_rate,
        schedule=schedule,
        thaw=thaw,
        class_weights=class_weights,
        train_batch_norm=train_batch_norm,
        callbacks=callbacks,
        verbose=verbose,
    )
    with Run.open(run_dir) as run:
        return plan.execute(run)


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        name: "frozen" or "thawed".
        epochs: Number of epochs.
        learning_rate: Highest learning rate.
    """

    name: str
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Plan:
    """A training whose arguments are checked. `execute` runs it, or what is left of it.

    Attributes:
        model: The compiled model.
        train: Training batches.
        val: Validation batches.
        compilation: What the model was compiled with.
        stages: The frozen and the thawed stage.
        schedule: "cosine", or None for a constant learning rate.
        thaw: First stage of the encoder that is trained.
        class_weights: Weight of each class in the loss, "balanced", or None.
        train_batch_norm: Whether the encoder's batch normalization is trained.
        callbacks: Callbacks of Keras.
        verbose: What Keras prints.
    """

    model: keras.Model
    train: tf.data.Dataset
    val: tf.data.Dataset
    compilation: Compilation
    stages: tuple[Stage, Stage]
    schedule: str | None
    thaw: str
    class_weights: tuple[float, ...] | str | None
    train_batch_norm: bool
    callbacks: tuple[keras.callbacks.Callback, ...]
    verbose: int | str

    @classmethod
    def check(
        cls,
        model: keras.Model,
        train: tf.data.Dataset,
        val: tf.data.Dataset,
        *,
        frozen_epochs: int,
        epochs: int,
        learning_rate: float | tuple[float, float],
        schedule: str | None,
        thaw: str,
        class_weights: Sequence[float] | str | None,
        train_batch_norm: bool,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: int | str,
    ) -> "Plan":
        """Checks the arguments of `finetune`.

        Args:
            model: A compiled model of petseg, with a layer "encoder" and a metric `mean_iou`.
            train: Batches `(images, masks)`, or `(images, masks, sample_weights)`, of known number.
            val: Batches for validation, in the same layout.
            frozen_epochs: Number of epochs with the encoder frozen.
            epochs: Number of epochs after that, with the encoder thawed.
            learning_rate: Learning rates of the frozen and the thawed stage. If it is a single
                number, the thawed stage uses 0.3 times that number.
            schedule: "cosine", or None for a constant learning rate.
            thaw: First stage of the encoder that is trained: "all", or "stage2" to "stage5".
            class_weights: Weight of each class in the loss of a pixel, "balanced", or None.
            train_batch_norm: Whether the encoder's batch normalization is trained too.
            callbacks: Callbacks of Keras.
            verbose: What Keras prints: "auto", 0, 1 or 2.

        Returns:
            The plan.

        Raises:
            ValueError: If an argument is out of its range.
            TypeError: If `train` or `val` is not a `tf.data.Dataset`.
        """
        check_encoder(model)
        compilation = Compilation(model)
        check_batches("train", train)
        check_batches("val", val)
        check_channels("train", train, model)
        check_channels("val", val, model)
        check_train(train, compilation.steps_per_execution)
        check_val(val)
        validation.choice("schedule", schedule, SCHEDULES)
        check_callbacks(callbacks, schedule)
        frozen_rate, thawed_rate = learning_rates(learning_rate)
        weights: tuple[float, ...] | str | None = None
        if class_weights is not None:
            weights = checked_class_weights(class_weights, model.output_shape[-1])
            if len(train.element_spec) == 3:
                raise ValueError(
                    "`class_weights` must be None where `train` has sample weights. Multiply the "
                    "sample weights by those of the classes instead."
                )
        if isinstance(model.loss, CrossEntropyDice | OneHotLoss):
            check_no_weights(train, weights, model.loss)
        return cls(
            model=model,
            train=train,
            val=val,
            compilation=compilation,
            stages=(
                Stage(FROZEN, validation.integer("frozen_epochs", frozen_epochs, 0), frozen_rate),
                Stage(THAWED, validation.integer("epochs", epochs, 0), thawed_rate),
            ),
            schedule=schedule,
            thaw=validation.choice("thaw", thaw, THAW_STAGES),
            class_weights=weights,
            train_batch_norm=validation.boolean("train_batch_norm", train_batch_norm),
            callbacks=tuple(callbacks),
            verbose=validation.choice("verbose", verbose, ("auto", 0, 1, 2)),
        )

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, ready for JSON."""
        epochs = seeded_epochs(self.train)
        return {
            "model": self.model.name,
            "parameters": self.model.count_params(),
            "dtype_policy": self.model.dtype_policy.name,
            "backend": keras.backend.backend(),
            "frozen_epochs": self.stages[0].epochs,
            "epochs": self.stages[1].epochs,
            "learning_rate": [stage.learning_rate for stage in self.stages],
            "schedule": self.schedule,
            "thaw": self.thaw,
            "class_weights": self.class_weights,
            "train_batch_norm": self.train_batch_norm,
            "train": {
                **_dataset_description(self.train),
                **({} if epochs is None else epochs.description),
            },
            "val": _dataset_description(self.val),
            **self.compilation.description(),
        }

    def execute(self, run: Run) -> keras.callbacks.History:
        """Trains all epochs that the run has not done yet.

        Args:
            run: The open run.

        Returns:
            The history of all epochs.

        Raises:
            ValueError: If the run has other settings, or the loss is no longer finite.
        """
        run.use_settings("training", self.settings())
        with training_scope(self.model), naming_lost_processes():
            return self._execute(run)

    def _execute(self, run: Run) -> keras.callbacks.History:
        image_size = tuple(self.train.element_spec[0].shape[1:3])
        if None not in image_size:
            update_info(self.model, image_size=image_size)
        # The trained weights are the user's own: nothing was measured of them.
        update_info(self.model, licence=None, temperature=1.0, closer_look_below=0.0)
        waiting = [stage for stage in self.stages if not run.is_ended(stage.name, stage.epochs)]
        if waiting and run.epoch:
            run.restore(self.model, optimizer=False)
        weights = self._weights() if waiting else None
        for stage in waiting:
            self._train_stage(stage, run, weights)
        run.finish(self.model)
        history = keras.callbacks.History()
        history.set_model(self.model)
        history.epoch, history.history = run.history()
        return history

    def _weights(self) -> tuple[float, ...] | None:
        """The weight of each class, counted where that is asked for."""
        if not isinstance(self.class_weights, str):
            return self.class_weights
        ignore_class = model_info(self.model).ignore_class
        return balanced_weights(self.train, self.model.output_shape[-1], ignore_class)

    def _train_stage(self, stage: Stage, run: Run, weights: tuple[float, ...] | None) -> None:
        """Trains the epochs of a stage that are left, in one call of `fit`."""
        encoder = self.model.get_layer("encoder")
        if stage.name == FROZEN:
            encoder.trainable = False
        else:
            thaw_encoder(encoder, self.thaw, self.train_batch_norm)
        steps = int(self.train.cardinality())
        self.compilation.compile(self._learning_rate(stage, stage.epochs * steps))
        done = run.state.epochs_of(stage.name)
        if done:
            run.restore(self.model, optimizer=True)
        part, parts, own = parts_of_batches(seeded_epochs(self.train))
        batches = with_checked_pixels(batches_from_epoch(self.train, run.epoch, part, parts))
        if weights is not None:
            batches = _weighted(batches, weights)
        # The batches are one endless stream. With `steps_per_epoch`, Keras keeps one iterator over
        # it through all epochs, on every backend.
        with pixel_errors():
            self.model.fit(
                batches,
                steps_per_epoch=steps,
                validation_data=self.val,
                initial_epoch=run.epoch,
                epochs=run.epoch - done + stage.epochs,
                shuffle=False,  # The order is that of the dataset.
                callbacks=[
                    *own,
                    *self.callbacks,
                    *run.tensorboard(),
                    EpochRecorder(run, stage.name),
                ],
                verbose=self.verbose,
            )

    def _learning_rate(self, stage: Stage, steps: int) -> LearningRate:
        if self.schedule is None:
            return stage.learning_rate
        warmup_steps = steps // 20
        return keras.optimizers.schedules.CosineDecay(
            stage.learning_rate / 10,
            decay_steps=max(1, steps - warmup_steps),
            warmup_target=stage.learning_rate,
            warmup_steps=warmup_steps,
        )


def thaw_encoder(encoder: keras.Model, thaw: str = "all", train_batch_norm: bool = False) -> None:
    """Makes the layers of an encoder trainable from a stage up, and no others.

    Compile the model again afterwards: until then, what was frozen stays frozen.

    Args:
        encoder: The layer "encoder" of a model of petseg.
        thaw: First stage that is trained: "all", or "stage2" to "stage5", where stage n ends at
            stride 2 ** n.
        train_batch_norm: Whether batch normalization is trained too.
    """
    frozen: list[keras.Operation] = []
    if thaw != "all":
        features = encoder.outputs[int(thaw.removeprefix("stage")) - 2]
        frozen = keras.Model(encoder.input, features).operations
    encoder.trainable = True
    for layer in encoder.layers:
        layer.trainable = layer not in frozen
        for part in layer._flatten_layers():  # The layer itself, and those inside it.
            if isinstance(part, layers.BatchNormalization) and not train_batch_norm:
                part.trainable = False


def _weighted(batches: tf.data.Dataset, class_weights: tuple[float, ...]) -> tf.data.Dataset:
    """Adds the weight of each pixel `(N, H, W)` to batches of images and masks."""
    table = tf.constant(class_weights, tf.float32)

    def weigh(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        classes = tf.squeeze(masks, -1) if masks.shape.rank == 4 else masks
        # The one-hot vector of an ignored label is zero, so its weight is 0.
        one_hot = tf.one_hot(tf.cast(classes, tf.int32), len(class_weights))
        return images, masks, tf.linalg.matvec(one_hot, table)

    return batches.map(weigh)


def _dataset_description(dataset: tf.data.Dataset) -> dict[str, Any]:
    """Number of batches and types of the elements, which are known without reading the data."""
    return {
        "batches": int(dataset.cardinality()),
        "elements": [f"{spec.dtype.name} {spec.shape}" for spec in dataset.element_spec],
    }
