"""Speed of each architecture's training step and prediction, beside the bare encoder's.

The bare encoder has a 1 x 1 convolution for a decoder and the same loss and metrics, so that it is
the most that any decoder on it can reach. All are measured in turn, round after round, in one
process; quote the ratios.

    python benchmarks/train_step.py --out docs/results/train_step.json
"""

import argparse
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import petseg
from petseg.backbones import encode
from petseg.environment import environment
from petseg.files import write_json
from petseg.models.blocks import classify, image_input, segmenter


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenetv2")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(petseg.MODELS))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    keras.utils.set_random_seed(0)
    models = {"bare encoder": bare_encoder(args.backbone)}
    for name in args.models:
        models[name] = petseg.MODELS[name](backbone=args.backbone, weights=None)
    speeds = measure(models, args.image_size, args.batch_size, args.steps, args.rounds)
    rows = {
        name: {
            "parameters": models[name].count_params(),
            **{task: round(statistics.median(values), 1) for task, values in tasks.items()},
            **{
                f"{task}_ratio": round(
                    statistics.median(
                        value / bare
                        for value, bare in zip(values, speeds["bare encoder"][task], strict=True)
                    ),
                    3,
                )
                for task, values in tasks.items()
            },
        }
        for name, tasks in speeds.items()
    }
    for name, row in rows.items():
        print(name, row)
    if args.out:
        settings = {name: value for name, value in vars(args).items() if name != "out"}
        record = {
            "unit": "images a second, median; ratio to the bare encoder",
            "settings": settings,
            "environment": environment(),
            "results": rows,
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, record)


if __name__ == "__main__":
    main()
