"""`petseg train`: trains and evaluates a model, and keeps everything in a folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from petseg_cli.catalogue import BACKBONES
from petseg_cli.data_source import announce_download, data_source
from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    nearest,
    parse_numbers,
    parse_size,
)
from petseg_cli.streams import warn
from petseg_cli.tensorflow_logging import quiet_import


# Written out, because importing `petseg` imports TensorFlow. A test compares them with its own.
class Loss(StrEnum):
    """Losses of `petseg.experiment`."""

    CROSS_ENTROPY = "cross-entropy"
    CROSS_ENTROPY_DICE = "cross-entropy-dice"


class Optimizer(StrEnum):
    """Optimizers of `petseg.experiment`."""

    ADAMW = "adamw"
    ADAM = "adam"
    AMSGRAD = "amsgrad"
    RMSPROP = "rmsprop"
    SGD = "sgd"


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An architecture.")],
    out: Annotated[Path, typer.Option(metavar="RUN_DIR", help="Folder for the results.")],
    backbone: Annotated[str, typer.Option(help="A backbone.")] = "mobilenetv2",
    weights: Annotated[
        str,
        typer.Option(help="Weights to start from: imagenet, pets, none, or a weights file."),
    ] = "imagenet",
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    binary: Binary = False,
    image_size: Annotated[
        Any,
        typer.Option(parser=parse_size, metavar="H[xW]", help="Size of the images in pixels."),
    ] = "128",
    batch_size: BatchSize = 16,
    frozen_epochs: Annotated[int, typer.Option(min=0, help="Epochs with the encoder frozen.")] = 3,
    epochs: Annotated[
        int, typer.Option(min=0, help="Epochs after that, with the whole model trained.")
    ] = 24,
    learning_rate: Annotated[
        tuple[float, float],
        typer.Option(metavar="FROZEN THAWED", help="Highest learning rate of both stages."),
    ] = (1e-3, 3e-4),
    loss: Annotated[Loss, typer.Option(help="Loss.")] = Loss.CROSS_ENTROPY_DICE,
    class_weights: Annotated[
        Any,
        typer.Option(parser=parse_numbers, metavar="W,W,...", help="A weight for each class."),
    ] = None,
    optimizer: Annotated[Optimizer, typer.Option(help="Optimizer.")] = Optimizer.ADAMW,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, image order and augmentation.")
    ] = 0,
) -> None:
    """Train a model and evaluate it. RUN_DIR keeps model, scores, curves and masks.

    The same command continues a run that was stopped, after its last finished epoch.
    `petseg models` lists architectures and backbones.
    """
    from rich.console import Console

    source = data_source(data, data_dir, classes, binary)
    with quiet_import():
        from petseg.comparison import score_table
        from petseg.experiment import Settings, find_result, run
        from petseg.models import MODELS
        from petseg_cli.training_display import TrainingDisplay
    if model not in MODELS:
        raise typer.BadParameter(nearest(model, MODELS), param_hint="MODEL")
    settings = Settings(
        architecture=model,
        backbone=backbone,
        weights=None if weights == "none" else weights,
        data=data,
        classes=classes,
        binary=binary,
        image_size=image_size,
        batch_size=batch_size,
        frozen_epochs=frozen_epochs,
        epochs=epochs,
        learning_rate=learning_rate,
        loss=loss.value,
        class_weights=class_weights,
        optimizer=optimizer.value,
        seed=seed,
    )
    result = find_result(settings, out)
    if result is None:
        announce_download(source)
        if settings.weights == "imagenet":
            megabytes = 4 * BACKBONES[settings.backbone].parameters / 1e6
            warn(
                f"ImageNet weights of {backbone} ({megabytes:.0f} MB) are downloaded to "
                "~/.keras/models unless they are there."
            )
        with TrainingDisplay(settings, out, Console(stderr=True)) as display:
            result = run(settings, out, data_dir=data_dir, callbacks=[display], verbose=0)
        message = f"Wrote {out}: model.keras, result.json, curves.png, masks.png"
    else:
        message = f"{out} holds this run, finished. Nothing was trained."
    scores = {"validation": result.validation, "test": result.test}
    Console().print(score_table(scores))
    typer.echo(message)
