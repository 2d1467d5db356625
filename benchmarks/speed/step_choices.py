"""Settings that change the speed of a training step of U-Net on a CPU.

Each row changes one setting of the default; all rows take turns in one run. Quote the ratios.

    python -m benchmarks.speed.step_choices --out docs/results/step_choices.json
"""

import math
from collections.abc import Callable
from typing import Any

import keras

import petseg
from benchmarks.common import Record, argument_parser, median, median_ratio
from benchmarks.speed.train_step import TASKS, measure
from petseg.normalization import FusedBatchNormalization

BACKBONE = "mobilenetv2"


def default(**compile_arguments: Any) -> keras.Model:
    """Builds the U-Net as `petseg.unet` compiles it.

    Args:
        **compile_arguments: Arguments of `compile` to change.

    Returns:
        The compiled model.
    """
    model = petseg.unet(backbone=BACKBONE, weights=None)
    config = keras.saving.deserialize_keras_object(model.get_compile_config())
    model.compile(**(config | compile_arguments))
    return model


def keras_batch_norm() -> keras.Model:
    """Builds the U-Net with the batch normalization of Keras.

    Returns:
        The compiled model.
    """

    def layer_like(layer: keras.Layer) -> keras.Layer:
        kind = type(layer)
        if kind is FusedBatchNormalization:
            kind = keras.layers.BatchNormalization
        return kind.from_config(layer.get_config())

    model = petseg.unet(backbone=BACKBONE, weights=None)
    changed = keras.models.clone_model(model, clone_function=layer_like, recursive=True)
    changed.compile_from_config(model.get_compile_config())
    return changed


def bfloat16() -> keras.Model:
    """Builds the U-Net with the policy mixed_bfloat16.

    Returns:
        The compiled model.
    """
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return default()
    finally:
        keras.config.set_dtype_policy("float32")


DEFAULT = "default"
CHOICES: dict[str, Callable[[], keras.Model]] = {
    DEFAULT: default,
    "Keras's batch normalization": keras_batch_norm,
    "no metric": lambda: default(metrics=None),
    "steps_per_execution=8": lambda: default(steps_per_execution=8),
    "mixed_bfloat16": bfloat16,
    "XLA": lambda: default(jit_compile=True),
}
BATCH_SIZES = (8, 16, 64)


def features_mib(image_size: int) -> float:
    """Computes the memory of a frozen encoder's features, as if they were cached.

    Args:
        image_size: Height and width of the photo.

    Returns:
        MiB for one photo.
    """
    encoder = petseg.unet(backbone=BACKBONE, weights=None).get_layer("encoder")
    shapes = encoder.compute_output_shape((1, image_size, image_size, 3))
    return round(sum(math.prod(shape) for shape in shapes) * 4 / 2**20, 2)


def main() -> None:
    """Measures all choices."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=256, help="in each measurement")
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    settings["backbone"] = BACKBONE
    record = Record(
        args.out,
        settings,
        rows="results",
        resume=False,
        unit="images a second, median; ratio to the default",
        encoder_features_mib_per_photo={str(size): features_mib(size) for size in (128, 224)},
    )
    models = {name: make() for name, make in CHOICES.items()}
    batch_sizes = dict.fromkeys(models, args.batch_size)
    for size in BATCH_SIZES:
        models[f"batches of {size}"] = default()
        batch_sizes[f"batches of {size}"] = size
    found: dict[str, dict[str, Any]] = {name: {} for name in models}
    for task in TASKS:
        speeds = measure(
            models,
            image_size=args.image_size,
            batch_sizes=batch_sizes,
            images=args.images,
            rounds=args.rounds,
            task=task,
        )
        for name, values in speeds.items():
            found[name][task] = {
                "images_per_second": median(values, 1),
                "ratio": median_ratio(values, speeds[DEFAULT]),
            }
    for name, tasks in found.items():
        record.add(name, tasks)


if __name__ == "__main__":
    main()
