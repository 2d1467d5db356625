"""Times training steps and predictions of several models, in turn, round after round.

The bare encoder has a 1 x 1 convolution for a decoder and the same loss and metrics, so that it is
the most that any decoder on it can reach.
"""

import time

import numpy as np
import tensorflow as tf

import petseg
from petseg.backbones import encode
from petseg.models.layers import classify, image_input, segmenter


def bare_encoder(backbone, output_stride=32):
    images = image_input((None, None, 3))
    features = encode(images, backbone, None, output_stride)
    return segmenter(images, classify(features[-1], 3), "bare_encoder", None)


def prepared(model, frozen):
    """The model compiled anew with its encoder frozen or not, batch normalization kept as it is."""
    encoder = model.get_layer("encoder")
    if frozen:
        encoder.trainable = False
    else:
        petseg.training.thaw_encoder(encoder)
    model.compile_from_config(model.get_compile_config())
    return model


def images_per_second(run, images):
    start = time.perf_counter()
    run()
    return images / (time.perf_counter() - start)


def same_batch(image_size, batch_size, steps):
    """A dataset of one random batch, `steps` times."""
    rng = np.random.default_rng(0)
    shape = (batch_size, image_size, image_size)
    images = tf.constant(rng.uniform(0, 255, (*shape, 3)), tf.float32)
    masks = tf.constant(rng.integers(0, 3, (*shape, 1)), tf.int32)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread ends late, by up to as long as it has run
    return tf.data.Dataset.from_tensors((images, masks)).repeat(steps).with_options(options)


TASKS = ("frozen", "full", "predict")


def measure(models, image_size, batch_size, steps, rounds, tasks=TASKS):
    batches = same_batch(image_size, batch_size, steps)
    count = steps * batch_size
    speeds = {name: {task: [] for task in tasks} for name in models}
    for task in tasks:
        runs = {}
        for name, model in models.items():
            if task == "predict":
                runs[name] = lambda model=model: model.predict(batches, verbose=0)
            else:
                prepared(model, frozen=task == "frozen")
                runs[name] = lambda model=model: model.fit(batches, verbose=0, shuffle=False)
            model_run = runs[name]
            model_run()  # traces and warms up
        for _ in range(rounds):
            for name, run in runs.items():
                speeds[name][task].append(images_per_second(run, count))
    return speeds
