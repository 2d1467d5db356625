"""The last step of every architecture: from logits to a compiled model with its record."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from petseg.metrics import MeanIoU
from petseg.models.layers import SegmentationOutput
from petseg.pretrained import PETS, find_pretrained, load_pretrained
from petseg_runtime import validation
from petseg_runtime.keras_file import SUFFIX as KERAS_SUFFIX
from petseg_runtime.keras_file import read_keras_info
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.pretrained import read_card

IMAGENET = "imagenet"


def assemble(
    images: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    architecture: str,
    backbone: str,
    weights: str | None,
    class_names: Sequence[str] | None,
    ignore_class: int | None,
    **arguments: Any,
) -> keras.Model:
    """Builds the compiled model from images to logits of the same size.

    Args:
        images: The input tensor.
        logits: Logits `(N, h, w, num_classes)` of any resolution.
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`.
        weights: "imagenet", "pets", None or the path of a weights file.
        class_names: Name of each class, or None for those of the weights or numbers.
        ignore_class: Label of pixels that count in no loss and no score, or None.
        **arguments: Arguments of the architecture, for the record.

    Returns:
        A model that is compiled with Adam, cross-entropy and `petseg.MeanIoU`.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit.
        OSError: If the file of the weights is missing or was changed.
    """
    num_classes = logits.shape[-1]
    names: Sequence[str] = tuple(map(str, range(num_classes)))
    licence, image_size = None, None if None in images.shape[1:3] else images.shape[1:3]
    temperature, closer_look_below = 1.0, 0.0
    if weights == PETS:
        pretrained = find_pretrained(architecture, backbone)
        card = read_card(pretrained)
        licence, image_size = card["licence"], image_size or card["image_size"]
        temperature = card.get("temperature", temperature)
        closer_look_below = card.get("closer_look_below", closer_look_below)
        names = card["class_names"] if len(card["class_names"]) == num_classes else names
    file = None if weights in (None, IMAGENET, PETS) else _weights_file(weights)
    saved = None if file is None else _saved_record(file)
    if saved is not None:
        licence, image_size = saved.licence, image_size or saved.image_size
        names = saved.class_names if saved.num_classes == num_classes else names
        temperature, closer_look_below = saved.temperature, saved.closer_look_below
    if class_names is not None:
        names = validation.class_names("class_names", class_names, num_classes)
    info = ModelInfo(
        tuple(names),
        ignore_class,
        image_size=image_size,
        architecture=architecture,
        backbone=backbone,
        arguments=arguments,
        weights=weights if file is None else file.name,
        licence=licence,
        petseg_version=version("petseg"),
        temperature=temperature,
        closer_look_below=closer_look_below,
    )
    output = SegmentationOutput(info.to_dict(), dtype="float32", name="resized_logits")
    model = keras.Model(images, output(logits, images), name=architecture)
    if weights == PETS:
        load_pretrained(model, pretrained)
    elif file is not None:
        _load_file(model, file)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=info.ignore_class
        ),
        metrics=[MeanIoU(info.num_classes, info.class_names, info.ignore_class)],
    )
    return model


def _weights_file(weights: Any) -> Path:
    path = Path(weights) if isinstance(weights, str | Path) else None
    if path is None or not path.name.endswith((".weights.h5", ".keras")) or not path.is_file():
        raise ValueError(
            "`weights` must be 'imagenet', 'pets', None, or the path of a .weights.h5 or .keras "
            f"file. Received: {str(weights)!r}, which is none of these."
        )
    return path


def _saved_record(path: Path) -> ModelInfo | None:
    """Reads the record of the model whose weights are loaded. A `.weights.h5` file has none."""
    if path.suffix != KERAS_SUFFIX:
        return None
    try:
        return read_keras_info(path)
    except ValueError:  # A model of the user: the weights decide whether it fits.
        return None


def _load_file(model: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns about layers that it skips; these would stay random.
            warnings.filterwarnings("error", message="Skipping")
            model.load_weights(path)
    except (OSError, RuntimeError) as error:  # of HDF5, which names no file
        raise ValueError(
            f"`weights` must be a whole file. Received: {str(path)!r}, which cannot be read: "
            f"{error}. Put it back from a copy."
        ) from error
    except Exception as error:  # Keras raises nearly anything on a file that it did not expect
        raise ValueError(
            f"`weights` must be a file of the same model. Received: {str(path)!r}, whose weights "
            f"do not fit {model.name}. Build the model with the arguments that it was saved with."
        ) from error
