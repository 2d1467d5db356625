"""What makes a training step of U-Net shorter on a CPU, and what does not: one row a choice.

Each row changes one thing of the default; all take turns in one run. Quote the ratios.

    python benchmarks/step_choices.py --out docs/results/step_choices.json
"""

import argparse
import statistics
from pathlib import Path
from unittest import mock

import keras
from train_step import TASKS, images_per_second, prepared, same_batch

import petseg
from petseg.environment import environment
from petseg.files import write_json


def plain(**compile_arguments):
    """The default U-Net, with some arguments of `compile` changed."""
    model = petseg.unet(weights=None)
    if not compile_arguments:
        return model
    config = keras.saving.deserialize_keras_object(model.get_compile_config())
    changed = keras.Model(model.inputs, model.outputs)
    changed.compile(**(config | compile_arguments))
    return changed


def keras_batch_norm():
    norm = keras.layers.BatchNormalization
    with (
        mock.patch("petseg.backbones.FusedBatchNormalization", norm),
        mock.patch("petseg.models.blocks.FusedBatchNormalization", norm),
    ):
        return plain()


def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return plain()
    finally:
        keras.config.set_dtype_policy("float32")


DEFAULT = "default"
CHOICES = {
    DEFAULT: plain,
    "Keras's batch normalization": keras_batch_norm,
    "no metric": lambda: plain(metrics=None),
    "steps_per_execution=8": lambda: plain(steps_per_execution=8),
    "mixed_bfloat16": bfloat16,
    "XLA": lambda: plain(jit_compile=True),
}
BATCH_SIZES = (8, 16, 64)


def measure(image_size: int, batch_size: int, images: int, rounds: int) -> dict:
    rows = {name: (make(), batch_size) for name, make in CHOICES.items()}
    rows |= {f"batches of {size}": (plain(), size) for size in BATCH_SIZES}
    results: dict[str, dict] = {name: {} for name in rows}
    for task in TASKS:
        runs, speeds = {}, {}
        for name, (model, size) in rows.items():
            batches = same_batch(image_size, size, images // size)
            if task == "predict":
                runs[name] = lambda model=model, data=batches: model.predict(data, verbose=0)
            else:
                prepared(model, frozen=task == "frozen")
                runs[name] = lambda model=model, data=batches: model.fit(
                    data, verbose=0, shuffle=False
                )
            runs[name]()  # traces and warms up
            speeds[name] = []
        for _ in range(rounds):
            for name, run in runs.items():
                speeds[name].append(images_per_second(run, images))
        for name, values in speeds.items():
            pairs = zip(values, speeds[DEFAULT], strict=True)
            results[name][task] = {
                "images_per_second": round(statistics.median(values), 1),
                "ratio": round(statistics.median(value / default for value, default in pairs), 2),
            }
            print(task, name, results[name][task], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=256, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    record = {
        "unit": "images a second, median; ratio to the default",
        "settings": {name: value for name, value in vars(args).items() if name != "out"},
        "environment": environment(),
        "results": measure(args.image_size, args.batch_size, args.images, args.rounds),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, record)


if __name__ == "__main__":
    main()
