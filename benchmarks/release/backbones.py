"""Checks which networks of `keras.applications` petseg can build on, with random weights.

With `--hub`, networks of keras-hub too, which must be installed. Rows that are in the JSON already
are not made again.

    python -m benchmarks.release.backbones --out docs/results/backbones.json
"""

import gc
import importlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import applications, ops

import petseg
from benchmarks.common import Record, argument_parser

SIZES = (32, 48, 64, 80, 96, 128)  # tried for the smallest image
ODD_SIZE = (161, 193)
TOLERANCE = 1e-3  # of the greatest logit
MOST_EXPORTED = 100e6  # parameters; tf2onnx took 13 GB for a network of 88 million


def functions() -> dict[str, Callable[[], Any]]:
    """Lists the functions of `keras.applications` by name.

    Returns:
        For each, a function that returns what `backbone` takes.
    """
    names = [name for name in dir(applications) if name[0].isupper()]
    return {name: partial(str, name) for name in names}


def hub_networks() -> dict[str, Callable[[], Any]]:
    """Lists networks of keras-hub by name.

    Returns:
        For each, a function that builds it.
    """
    models = importlib.import_module("keras_hub").models

    resnet = {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": [2, 2, 2, 2],
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": "basic_block",
    }
    densenet = {"stackwise_num_repeats": [6, 12, 24, 16]}
    mit = {
        "layerwise_depths": [2, 2, 2, 2],
        "num_layers": 4,
        "layerwise_num_heads": [1, 2, 5, 8],
        "layerwise_sr_ratios": [8, 4, 2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3, 3, 3],
        "layerwise_strides": [4, 2, 2, 2],
        "image_shape": (224, 224, 3),
        "hidden_dims": [32, 64, 160, 256],
    }
    return {
        "keras_hub ResNetBackbone": lambda: models.ResNetBackbone(**resnet),
        "keras_hub DenseNetBackbone": lambda: models.DenseNetBackbone(**densenet),
        "keras_hub MiTBackbone": lambda: models.MiTBackbone(**mit),
    }


def check(network: Any) -> dict[str, Any]:
    """Builds a U-Net on a network, and uses it as a user would.

    Args:
        network: What `backbone` takes.

    Returns:
        What was found: the number of parameters, the layers whose features are taken, the smallest
        image, and whether training, output stride 8, saving and the export to ONNX work (None for
        the export of very large networks, which is not checked). Where the network cannot be used,
        the error alone.
    """
    try:
        model = petseg.unet(backbone=network, weights=None)
    except (ValueError, TypeError) as error:  # TypeError: a layer has no complete configuration
        return {"error": str(error)[:300]}
    encoder = model.get_layer("encoder")
    row: dict[str, Any] = {
        "parameters": encoder.count_params(),
        "layers": [features._keras_history.operation.name for features in encoder.outputs],
        "smallest_image": next((size for size in SIZES if _answers(model, size)), None),
        "training": _trains(model),
    }
    try:
        petseg.pspnet(backbone=network, weights=None, output_stride=8)
        row["output_stride_8"] = True
    except ValueError:
        row["output_stride_8"] = False
    images = _images(*ODD_SIZE)
    logits = ops.convert_to_numpy(model(images))
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.keras"))
        loaded = keras.saving.load_model(Path(folder, "model.keras"))
        row["saving"] = _equal(ops.convert_to_numpy(loaded(images)), logits)
        if row["parameters"] > MOST_EXPORTED:
            return {**row, "onnx": None}
        try:
            runtime = petseg.Runtime(petseg.export(model, Path(folder, "model.onnx")))
            row["onnx"] = _equal(runtime(images), logits)
        except Exception as error:
            row["onnx"] = f"{type(error).__name__}: {error}"[:300]
    return row


def _images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype("float32")


def _answers(model: keras.Model, size: int) -> bool:
    try:
        return model(_images(size, size)).shape == (2, size, size, 3)
    except Exception:  # of Keras or of the backend
        return False


def _trains(model: keras.Model) -> bool:
    """Whether a step changes the first kernel of the encoder and leaves a finite loss."""
    kernel = next(weight for weight in model.get_layer("encoder").weights if len(weight.shape) == 4)
    before = ops.convert_to_numpy(kernel)
    masks = np.random.default_rng(1).integers(0, 3, (2, 128, 128, 1))
    model.compile(
        optimizer=keras.optimizers.SGD(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    logs = model.train_on_batch(_images(128, 128), masks, return_dict=True)
    return bool(np.isfinite(logs["loss"]) and np.any(before != ops.convert_to_numpy(kernel)))


def _equal(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max())


def main() -> None:
    """Checks the rows that are missing."""
    parser = argument_parser(__doc__)
    parser.add_argument("--hub", action="store_true", help="check networks of keras-hub")
    args = parser.parse_args()
    settings = {"seed": args.seed, "tolerance": TOLERANCE}
    record = Record(args.out, settings)
    networks = hub_networks() if args.hub else functions()
    for name in record.missing(networks):
        keras.utils.clear_session()
        gc.collect()
        keras.utils.set_random_seed(args.seed)
        record.add(name, check(networks[name]()))


if __name__ == "__main__":
    main()
