"""`petseg evaluate` and `petseg export`: a trained model at work."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from petseg.experiment import trained_size
from petseg_cli.data_source import Source
from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    ImageSize,
    ModelFile,
)
from petseg_cli.predict import load
from petseg_cli.tensorflow_logging import quiet_import


def evaluate(
    model: ModelFile,
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    binary: Binary = False,
    image_size: ImageSize = None,
    batch_size: BatchSize = 32,
    json: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the figures here too.")
    ] = None,
) -> None:
    """Score a model on the whole test split."""
    with quiet_import():
        import petseg

    network = load(model)
    source = Source(data, data_dir, classes, binary)
    image_size = image_size or trained_size(model) or (224, 224)
    splits = source.splits(image_size=image_size, batch_size=batch_size)
    result = petseg.evaluate(network, splits.test, class_names=splits.class_names)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        result.to_json(json)
    Console().print(result)


def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="FILE.onnx, FILE.tflite, FILE.xml (OpenVINO) or FOLDER (SavedModel).",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.keras",
            help="A model that was trained and saved. By default the U-Net for pets that comes "
            "with petseg.",
        ),
    ] = None,
    quantize: Annotated[
        str | None, typer.Option(metavar="float16|int8", help="Smaller, for LiteRT alone.")
    ] = None,
    argmax: Annotated[
        bool, typer.Option("--argmax", help="Give classes in place of logits.")
    ] = False,
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    binary: Binary = False,
    image_size: ImageSize = None,
) -> None:
    """Write a model for another runtime, once the two agree.

    int8 is calibrated and scored on the validation split of --data.
    """
    with quiet_import():
        import petseg

    network = petseg.unet(weights="pets") if model is None else load(model)
    calibration = None
    if quantize == "int8":
        size = image_size or (trained_size(model) if model else None) or (224, 224)
        calibration = Source(data, data_dir, classes, binary).splits(image_size=size).val
    petseg.export(network, out, quantize=quantize, calibration=calibration, argmax=argmax)
    typer.echo(f"Written and checked: {out}")
