"""Times training steps and predictions of several models in turns."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import seconds_of, take_turns
from petseg.backbones import BACKBONES, encode
from petseg.models.arguments import image_input
from petseg.models.assembly import assemble
from petseg.models.layers import classify
from petseg.training import thaw_encoder

Task = Literal["frozen", "full", "predict"]
TASKS: tuple[Task, ...] = ("frozen", "full", "predict")


def bare_encoder(backbone: str, output_stride: int = 32) -> keras.Model:
    """Builds the fastest possible model on a backbone: a 1x1 convolution instead of a decoder.

    Args:
        backbone: Key of `petseg.BACKBONES`.
        output_stride: Output stride of the encoder.

    Returns:
        A model that is compiled with the loss and metrics of the architectures.
    """
    images = image_input((None, None, 3))
    row = BACKBONES[backbone]
    features = encode(images, row, None, output_stride)
    return assemble(
        images,
        classify(features[-1], 3),
        architecture="bare_encoder",
        backbone=row,
        weights=None,
        class_names=None,
        ignore_class=None,
    )


def prepared(model: keras.Model, *, frozen: bool) -> keras.Model:
    """Freezes or unfreezes the encoder and compiles the model again.

    Args:
        model: A model of petseg.
        frozen: Whether to freeze the encoder. Its batch normalization is not trained either way.

    Returns:
        The model.
    """
    encoder = model.get_layer("encoder")
    if frozen:
        encoder.trainable = False
    else:
        thaw_encoder(encoder)
    model.compile_from_config(model.get_compile_config())
    return model


def same_batch(image_size: int, batch_size: int, steps: int) -> Any:
    """Makes a dataset that repeats one random batch.

    Args:
        image_size: Height and width.
        batch_size: Images in the batch.
        steps: Number of repetitions.

    Returns:
        The dataset of images and masks.
    """
    rng = np.random.default_rng(0)
    shape = (batch_size, image_size, image_size)
    images = tf.constant(rng.uniform(0, 255, (*shape, 3)), tf.float32)
    masks = tf.constant(rng.integers(0, 3, (*shape, 1)), tf.int32)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread ends late, by up to as long as it has run
    return tf.data.Dataset.from_tensors((images, masks)).repeat(steps).with_options(options)


def measure(
    models: Mapping[str, keras.Model],
    *,
    image_size: int,
    batch_sizes: Mapping[str, int],
    images: int,
    rounds: int,
    task: Task,
) -> dict[str, list[float]]:
    """Times one task of several models in turns.

    Args:
        models: The models.
        image_size: Height and width of the images.
        batch_sizes: Batch size of each model.
        images: Images in each measurement.
        rounds: Number of rounds.
        task: "frozen" and "full" are training steps, "predict" is prediction.

    Returns:
        Images per second of each model, one value a round.
    """
    runs = {}
    for name, model in models.items():
        batch_size = batch_sizes[name]
        batches = same_batch(image_size, batch_size, images // batch_size)
        if task == "predict":
            runs[name] = functools.partial(model.predict, batches, verbose=0)
        else:
            prepared(model, frozen=task == "frozen")
            runs[name] = functools.partial(model.fit, batches, verbose=0, shuffle=False)
        runs[name]()  # traces and warms up
    times = take_turns(
        {name: functools.partial(seconds_of, run) for name, run in runs.items()}, rounds
    )
    return {name: [images / value for value in values] for name, values in times.items()}
