"""`petseg train`: from the name of a network to a folder with all that its training gave."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petseg_cli.data_source import data_source
from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    ImageSize,
    nearest,
    parse_numbers,
)
from petseg_cli.tensorflow_logging import quiet_import

if TYPE_CHECKING:
    import keras


class Loss(StrEnum):
    """What training minimizes."""

    CROSS_ENTROPY = "cross-entropy"
    CROSS_ENTROPY_DICE = "cross-entropy-dice"


class Optimizer(StrEnum):
    """What takes the steps."""

    ADAMW = "adamw"
    ADAM = "adam"
    AMSGRAD = "amsgrad"
    RMSPROP = "rmsprop"
    SGD = "sgd"


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A network of `petseg models`.")],
    out: Annotated[Path, typer.Option(metavar="RUN_DIR", help="The folder of this run.")],
    backbone: Annotated[str, typer.Option(help="A backbone of `petseg models`.")] = "mobilenetv2",
    weights: Annotated[
        str, typer.Option(help="What to start from: imagenet, none, or a file of this network.")
    ] = "imagenet",
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    binary: Binary = False,
    image_size: ImageSize = "128",
    batch_size: BatchSize = 16,
    frozen_epochs: Annotated[int, typer.Option(min=0, help="With the encoder frozen.")] = 3,
    epochs: Annotated[int, typer.Option(min=0, help="Then, with all of it trained.")] = 24,
    learning_rate: Annotated[
        tuple[float, float], typer.Option(help="The peaks: frozen, then thawed.")
    ] = (1e-3, 3e-4),
    loss: Annotated[Loss, typer.Option(help="What to minimize.")] = Loss.CROSS_ENTROPY_DICE,
    class_weights: Annotated[
        Any, typer.Option(parser=parse_numbers, metavar="W,W,...", help="One a class.")
    ] = None,
    optimizer: Annotated[Optimizer, typer.Option(help="What takes the steps.")] = Optimizer.ADAMW,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and augmentation.")] = 0,
) -> None:
    """Fine-tune a network and evaluate it; RUN_DIR keeps model, figures, curves and masks.

    The same command goes on with a run that was killed, from its last finished epoch.
    """
    from rich.console import Console

    from petseg.experiment import Record

    settings = {
        "model": model,
        "backbone": backbone,
        "weights": weights,
        "data": data,
        "classes": classes,
        "binary": binary,
        "image_size": image_size,
        "batch_size": batch_size,
        "frozen_epochs": frozen_epochs,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "loss": loss,
        "class_weights": class_weights,
        "optimizer": optimizer,
        "seed": seed,
    }
    record = Record(out, settings)
    if record.finished:
        typer.echo(f"{out} holds this run, finished:")
        Console().print(record.table())
        return

    with quiet_import():
        import keras

        import petseg
    if model not in petseg.MODELS:
        raise typer.BadParameter(nearest(model, petseg.MODELS), param_hint="MODEL")
    keras.utils.set_random_seed(seed)
    source = data_source(data, data_dir, classes, binary)
    splits = source.splits(image_size=image_size, batch_size=batch_size, seed=seed)
    network = petseg.MODELS[model](
        len(splits.class_names),
        backbone=backbone,
        weights=None if weights == "none" else weights,
        class_names=splits.class_names,
        ignore_class=None,
    )
    _compile(network, optimizer, loss, class_weights, None)
    record.begin()
    history = petseg.finetune(
        network,
        splits.train,
        splits.val,
        frozen_epochs=frozen_epochs,
        epochs=epochs,
        learning_rate=learning_rate,
        # The dice part of the other loss is no sum over pixels: that loss weighs by itself.
        class_weights=class_weights if loss is Loss.CROSS_ENTROPY else None,
        # Random weights come with no statistics worth keeping.
        train_batch_norm=weights == "none",
        run_dir=out,
        callbacks=[record.stopwatch()],
    )
    record.finish(network, history, splits)
    Console().print(record.table())
    typer.echo(f"Wrote {out}: model.keras, result.json, curves.png, overlays.png")


def _compile(
    network: "keras.Model",
    optimizer: Optimizer,
    loss: Loss,
    class_weights: tuple[float, ...] | None,
    ignore_class: int | None,
) -> None:
    """Compiles again with the loss and optimizer asked for, and the metrics that are there."""
    import keras

    import petseg

    if loss is Loss.CROSS_ENTROPY_DICE:
        loss_function = petseg.CrossEntropyDice(class_weights, ignore_class)
    else:
        loss_function = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=ignore_class
        )
    if optimizer is Optimizer.AMSGRAD:  # (Reddi et al., arXiv:1904.09237)
        steps = keras.optimizers.Adam(amsgrad=True)
    elif optimizer is Optimizer.SGD:
        steps = keras.optimizers.SGD(momentum=0.9)
    else:
        steps = keras.optimizers.get(optimizer.value)
    parts = {"optimizer": steps, "loss": loss_function}
    config = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
    network.compile_from_config({**network.get_compile_config(), **config})
