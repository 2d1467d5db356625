"""What makes a training step of U-Net shorter on a CPU, and what does not: one row a choice.

Each row changes one thing of the default; all take turns in one run. Quote the ratios.

    python benchmarks/step_choices.py --out docs/results/step_choices.json
"""

import argparse
import math
import statistics
from pathlib import Path

import keras
from train_step import TASKS, images_per_second, prepared, same_batch

import petseg
from petseg.environment import environment
from petseg.atomic_files import write_json
from petseg.normalization import FusedBatchNormalization


def default(**compile_arguments):
    """The default U-Net, with some arguments of `compile` changed."""
    model = petseg.unet(weights=None)
    config = keras.saving.deserialize_keras_object(model.get_compile_config())
    model.compile(**(config | compile_arguments))
    return model


def keras_batch_norm():
    """The default U-Net with the batch normalization of Keras."""

    def layer_like(layer):
        kind = type(layer)
        if kind is FusedBatchNormalization:
            kind = keras.layers.BatchNormalization
        return kind.from_config(layer.get_config())

    model = petseg.unet(weights=None)
    changed = keras.models.clone_model(model, clone_function=layer_like, recursive=True)
    changed.compile_from_config(model.get_compile_config())
    return changed


def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return default()
    finally:
        keras.config.set_dtype_policy("float32")


DEFAULT = "default"
CHOICES = {
    DEFAULT: default,
    "Keras's batch normalization": keras_batch_norm,
    "no metric": lambda: default(metrics=None),
    "steps_per_execution=8": lambda: default(steps_per_execution=8),
    "mixed_bfloat16": bfloat16,
    "XLA": lambda: default(jit_compile=True),
}
BATCH_SIZES = (8, 16, 64)


def measure(image_size: int, batch_size: int, images: int, rounds: int) -> dict:
    rows = {name: (make(), batch_size) for name, make in CHOICES.items()}
    rows |= {f"batches of {size}": (default(), size) for size in BATCH_SIZES}
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


def features_mib(image_size: int) -> float:
    """What a frozen encoder's features of one photo weigh, if one kept them."""
    encoder = petseg.unet(weights=None).get_layer("encoder")
    shapes = encoder.compute_output_shape((1, image_size, image_size, 3))
    return round(sum(math.prod(shape) for shape in shapes) * 4 / 2**20, 2)


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
        "encoder_features_mib_per_photo": {size: features_mib(size) for size in (128, 224)},
        "results": measure(args.image_size, args.batch_size, args.images, args.rounds),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, record)


if __name__ == "__main__":
    main()
