"""Exports every network over every light backbone to every format: how far each is from its model.

    python benchmarks/exports.py --out docs/results/exports.json

Weights are random, and batch normalization has seen the images, so that logits are of the order of
one. What is in the JSON already is not made again.
"""

import argparse
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

import petseg
from petseg.environment import environment
from petseg.atomic_files import write_json

BACKBONES = ("mobilenet", "mobilenetv2", "mobilenetv3small", "mobilenetv3large")
FILES = {
    "SavedModel": "network",
    "ONNX": "network.onnx",
    "OpenVINO": "network.xml",
    "LiteRT": "network.tflite",
}
SIZES = ((128, 128), (97, 161))


def random_network(name: str, backbone: str, images: np.ndarray) -> keras.Model:
    """A network whose features are of the order of one in every layer."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = petseg.MODELS[name](backbone=backbone, weights=None)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    return model


def drifts(model: keras.Model, images: list[np.ndarray], folder: Path) -> dict[str, float | str]:
    """The greatest difference of a logit, or why there is no artifact."""
    wanted = [ops.convert_to_numpy(model(batch)) for batch in images]
    found: dict[str, float | str] = {"greatest_logit": max(float(np.abs(w).max()) for w in wanted)}
    for name, file in FILES.items():
        try:
            runtime = petseg.Runtime(petseg.export(model, folder / file))
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:300]
            continue
        pairs = zip(images, wanted, strict=True)
        found[name] = max(float(np.abs(runtime(batch) - logits).max()) for batch, logits in pairs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record = json.loads(args.out.read_text("utf-8")) if args.out.exists() else {"rows": {}}
    record |= {"unit": "greatest difference of a logit", "environment": environment()}
    rng = np.random.default_rng(0)
    images = [rng.uniform(0, 255, (2, *size, 3)).astype("float32") for size in SIZES]
    for backbone in BACKBONES:
        for name in petseg.MODELS:
            row = f"{name}({backbone})"
            if row in record["rows"]:
                continue
            model = random_network(name, backbone, images[0])
            with tempfile.TemporaryDirectory() as folder:
                found = drifts(model, images, Path(folder))
            record["rows"][row] = found
            print(row, found, flush=True)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.out, record)


if __name__ == "__main__":
    main()
