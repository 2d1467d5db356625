"""Exports every architecture on every light backbone to every format, and compares the logits.

Weights are random, and batch normalization has seen the images, so that logits are of the order of
one. Rows that are in the JSON already are not made again.

    python -m benchmarks.release.exports --out docs/results/exports.json
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

import petseg
from benchmarks.common import Record, argument_parser

BACKBONES = (
    "mobilenet",
    "mobilenetv2",
    "mobilenetv3small",
    "mobilenetv3large",
    "efficientnetlite0",
)
FILES = {
    "SavedModel": "model",
    "ONNX": "model.onnx",
    "OpenVINO": "model.xml",
    "LiteRT": "model.tflite",
}
SIZES = ((128, 128), (97, 161))


def random_model(architecture: str, backbone: str, images: np.ndarray, seed: int) -> keras.Model:
    """Builds a model whose features are of the order of one in every layer.

    Args:
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`.
        images: Images for the statistics of batch normalization.
        seed: Seed of the weights.

    Returns:
        The model.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = petseg.MODELS[architecture](backbone=backbone, weights=None)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    return model


def differences(
    model: keras.Model, images: list[np.ndarray], folder: Path
) -> dict[str, float | str]:
    """Exports a model to every format and compares the logits.

    Args:
        model: The model.
        images: Batches of images of different sizes.
        folder: Folder to write to.

    Returns:
        The greatest difference of a logit for each format, or the error of the export.
    """
    expected = [ops.convert_to_numpy(model(batch)) for batch in images]
    greatest = max(float(np.abs(logits).max()) for logits in expected)
    found: dict[str, float | str] = {"greatest_logit": greatest}
    for name, file in FILES.items():
        try:
            runtime = petseg.Runtime(petseg.export(model, folder / file))
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:300]
            continue
        pairs = zip(images, expected, strict=True)
        found[name] = max(float(np.abs(runtime(batch) - logits).max()) for batch, logits in pairs)
    return found


def main() -> None:
    """Exports the rows that are missing."""
    args = argument_parser(__doc__).parse_args()
    settings = {"seed": args.seed, "image_sizes": SIZES}
    record = Record(args.out, settings, unit="greatest difference of a logit")
    rng = np.random.default_rng(args.seed)
    images = [rng.uniform(0, 255, (2, *size, 3)).astype("float32") for size in SIZES]
    rows = {
        f"{architecture}({backbone})": (architecture, backbone)
        for backbone in BACKBONES
        for architecture in petseg.MODELS
    }
    for row in record.missing(rows):
        model = random_model(*rows[row], images[0], args.seed)
        with tempfile.TemporaryDirectory() as folder:
            record.add(row, differences(model, images, Path(folder)))


if __name__ == "__main__":
    main()
