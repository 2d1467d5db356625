"""The last step of every architecture: from logits to a compiled model with its record."""

import functools
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from petseg.backbones import Backbone
from petseg.metrics import MeanIoU
from petseg.models.arguments import IMAGENET
from petseg.models.layers import SegmentationOutput
from petseg.pretrained import PETS, find_pretrained, load_pretrained, pretrained_record
from petseg.weight_files import file_name, find_weights, load_file, saved_record
from petseg.weight_transfer import Transfer, WeightsWarning
from petseg_runtime import validation
from petseg_runtime.model_info import ModelInfo


def assemble(
    images: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    architecture: str,
    backbone: Backbone,
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
        backbone: What the encoder was built from.
        weights: "imagenet", "pets", None, or the path of a weights file or of the folder of a run.
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
    load: Callable[..., Transfer] | None = None
    record = None
    if weights == PETS:
        pretrained = find_pretrained(architecture, backbone.name)
        record = pretrained_record(pretrained)
        load = functools.partial(load_pretrained, name=pretrained)
    elif weights not in (None, IMAGENET):
        file = find_weights(weights)
        record = saved_record(file)
        load = functools.partial(load_file, path=file)
        weights = file_name(weights, file)
        _check_backbone(backbone.name, record, file)
    names: Sequence[str] = tuple(map(str, range(num_classes)))
    if record is not None and record.num_classes == num_classes:
        names = record.class_names
    if class_names is not None:
        names = validation.class_names("class_names", class_names, num_classes)
    info = ModelInfo(
        tuple(names),
        ignore_class,
        image_size=None if None in images.shape[1:3] else images.shape[1:3],
        architecture=architecture,
        backbone=backbone.name,
        arguments=arguments,
        weights=weights,
        licence=None if record is None else record.licence,
        petseg_version=version("petseg"),
        channels=images.shape[-1],
    )
    output = SegmentationOutput(info.to_dict(), dtype="float32", name="resized_logits")
    model = keras.Model(images, output(logits, images), name=architecture)
    if load is not None:
        loaded = load(
            model,
            is_reversed=backbone.reversed_channels,
            new_classes=_are_others(info.class_names, record),
        )
        if not loaded.complete:
            message = (
                f"`weights={weights!r}`: {loaded.describe()}. To silence this: "
                '`warnings.simplefilter("ignore", petseg.models.WeightsWarning)`.'
            )
            warnings.warn(message, WeightsWarning, stacklevel=3)
        elif record is not None:  # What was measured holds for the very same model alone.
            output.info = info.replace(
                image_size=info.image_size or record.image_size,
                temperature=record.temperature,
                closer_look_below=record.closer_look_below,
            )
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=info.ignore_class
        ),
        metrics=[MeanIoU(info.num_classes, info.class_names, info.ignore_class)],
    )
    return model


def _are_others(names: Sequence[str], record: ModelInfo | None) -> bool:
    """Whether class names differ from those of the weights, where both have real names."""
    numbers = tuple(map(str, range(len(names))))
    known = (numbers, tuple(names))
    return record is not None and numbers != tuple(names) and record.class_names not in known


def _check_backbone(backbone: str, record: ModelInfo | None, file: Path) -> None:
    # Some backbones have layers of the same names and shapes in another order.
    if record is not None and record.backbone not in (None, backbone):
        raise ValueError(
            f"`backbone` must be that of the weights, {record.backbone!r}, to load {str(file)!r}. "
            f"Received: {backbone!r}."
        )
