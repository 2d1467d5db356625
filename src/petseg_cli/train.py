"""`petseg train`: trains and evaluates a model, and keeps everything in a folder."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petseg_cli.catalogue import BACKBONES, pretrained_models
from petseg_cli.data_source import announce_download, announce_layout, data_source
from petseg_cli.options import (
    Augment,
    BatchSize,
    Binary,
    Channels,
    Classes,
    Data,
    DataDir,
    IgnoreClass,
    Images,
    Labels,
    Masks,
    is_given,
    nearest,
    parse_cache,
    parse_class_weights,
    parse_size,
)
from petseg_cli.streams import printable, warn
from petseg_cli.tensorflow_logging import quiet_import

if TYPE_CHECKING:
    from petseg.data.source import DataSource
    from petseg.experiment import Result, Settings


# Written out, because importing `petseg` imports TensorFlow. A test compares them with its own.
class Loss(StrEnum):
    """Losses of `petseg.experiment`."""

    CROSS_ENTROPY = "cross-entropy"
    CROSS_ENTROPY_DICE = "cross-entropy-dice"
    FOCAL = "focal"
    TVERSKY = "tversky"


class Optimizer(StrEnum):
    """Optimizers of `petseg.experiment`."""

    ADAMW = "adamw"
    ADAM = "adam"
    AMSGRAD = "amsgrad"
    RMSPROP = "rmsprop"
    SGD = "sgd"


class Thaw(StrEnum):
    """First stages of the encoder that `petseg.finetune` can thaw."""

    ALL = "all"
    STAGE2 = "stage2"
    STAGE3 = "stage3"
    STAGE4 = "stage4"
    STAGE5 = "stage5"


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="RUN_DIR", help="Folder for the results.")],
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="An architecture.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A YAML or JSON file of settings, such as run.json of another run. Options on the "
            "command line override it.",
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="A backbone, or the name of a model of keras.applications. Default: that of the "
            "weights, or efficientnetlite0."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Weights to start from: imagenet, pets, none, a weights file, or the folder of a "
            "run. Layers that do not fit, such as the last one for other classes, start random."
        ),
    ] = "imagenet",
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    images: Images = "images",
    masks: Masks = "masks",
    ignore_class: IgnoreClass = "255",
    labels: Labels = None,
    channels: Channels = 3,
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
    thaw: Annotated[
        Thaw,
        typer.Option(help="First stage of the encoder that is thawed; stage n ends at stride 2^n."),
    ] = Thaw.ALL,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="End a stage after N epochs without a better mean IoU on the validation data.",
        ),
    ] = None,
    learning_rate: Annotated[
        tuple[float, float],
        typer.Option(metavar="FROZEN THAWED", help="Highest learning rate of both stages."),
    ] = (1e-3, 3e-4),
    loss: Annotated[Loss, typer.Option(help="Loss.")] = Loss.CROSS_ENTROPY_DICE,
    class_weights: Annotated[
        Any,
        typer.Option(
            parser=parse_class_weights,
            metavar="W,W,...|balanced",
            help="A weight for each class, or balanced: weights from the shares of the classes in "
            "the training masks.",
        ),
    ] = None,
    optimizer: Annotated[Optimizer, typer.Option(help="Optimizer.")] = Optimizer.ADAMW,
    augment: Annotated[
        Augment, typer.Option(help="How training images are changed at random.")
    ] = Augment.LIGHT,
    oversample: Annotated[
        bool, typer.Option(help="Show training images with rare classes several times an epoch.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, image order and augmentation.")
    ] = 0,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Train on N devices, each of which computes a part of every batch. With the JAX "
            "backend, also in processes that torchrun or srun started, with N devices each.",
        ),
    ] = None,
    cache: Annotated[
        Any,
        typer.Option(
            parser=parse_cache,
            metavar="memory|none|DIR",
            help="Where resized images are kept between epochs: memory, files in a folder, or "
            "none, to read them again. Default: memory, and none for shards.",
        ),
    ] = None,
) -> None:
    """Train a model and evaluate it. RUN_DIR keeps model, scores, curves and masks.

    The same command continues a run that was stopped, after its last finished epoch.
    `petseg models` lists architectures and backbones.
    """
    from rich.console import Console

    with quiet_import():
        from petseg import processes
        from petseg.comparison import score_table
        from petseg.data.source import FOLDER_SETTINGS
        from petseg.experiment import Settings
        from petseg.models import MODELS
        from petseg.settings_file import read_config
    values: dict[str, Any] = {
        "architecture": model,
        "backbone": backbone,
        "weights": None if weights == "none" else weights,
        "data": data,
        "classes": classes,
        "binary": binary,
        "images": images,
        "masks": masks,
        "ignore_class": ignore_class,
        "labels": labels,
        "channels": channels,
        "image_size": image_size,
        "batch_size": batch_size,
        "frozen_epochs": frozen_epochs,
        "epochs": epochs,
        "thaw": thaw.value,
        "patience": patience,
        "learning_rate": learning_rate,
        "loss": loss.value,
        "class_weights": class_weights,
        "optimizer": optimizer.value,
        "augment": augment.value,
        "oversample": oversample,
        "seed": seed,
    }
    if config is not None:
        given = {name: value for name, value in values.items() if is_given(context, name)}
        if model is not None:
            given["architecture"] = model
        values = {**values, **read_config(config), **given}
    if values["architecture"] is None:
        raise typer.BadParameter("Name an architecture, or pass --config.", param_hint="MODEL")
    if values["architecture"] not in MODELS:
        raise typer.BadParameter(nearest(values["architecture"], MODELS), param_hint="MODEL")
    if values["weights"] == "pets":
        _check_pretrained(values["architecture"], values["backbone"])
    how = {name: values[name] for name in FOLDER_SETTINGS}
    source = data_source(values["data"], data_dir, values["classes"], values["binary"], **how)
    settings = Settings.from_dict(values)
    result, message = train_with(settings, source, out, devices, cache)
    if not processes.is_first():
        return
    scores = {"validation": result.validation, "test": result.test}
    Console().print(score_table(scores))
    typer.echo(message)


def train_with(
    settings: "Settings",
    source: "DataSource",
    out: Path,
    devices: int | None = None,
    cache: Any = None,
) -> tuple["Result", str]:
    """Runs an experiment, or what is left of it, with a display on the terminal.

    Of several processes that train together, only the first displays anything.

    Args:
        settings: The settings.
        source: The data.
        out: Folder for the results.
        devices: Number of devices of this process, see `petseg.experiment.run`.
        cache: Where resized images are kept, as for `petseg.experiment.run`.

    Returns:
        The result, and a sentence that says what was done.

    Raises:
        typer.BadParameter: If the weights do not exist or do not fit, or `out` is a file.
        ValueError: If the class weights do not fit the classes, or `out` holds another run.
    """
    from rich.console import Console

    from petseg import processes
    from petseg.devices import find_devices
    from petseg.experiment import find_result, run
    from petseg_cli.training_display import TrainingDisplay

    if devices is not None:
        _announce_waiting()
        find_devices(devices)  # before anything is computed, also by reading the data
    result = find_result(settings, out)
    if result is not None:
        return result, f"{out} holds this run, finished. Nothing was trained."
    _check(settings, source.class_names, out)
    if processes.is_first():
        announce_download(source)
        announce_layout(source)
        _announce_weights(settings)
    console = Console(stderr=True, quiet=not processes.is_first())
    with TrainingDisplay(settings, out, console) as display:
        result = run(
            settings,
            out,
            data_dir=source.data_dir,
            callbacks=[display],
            verbose=0,
            devices=devices,
            cache=cache,
        )
    return result, f"Wrote {out}: model.keras, result.json, curves.png, masks.png"


def _announce_waiting() -> None:
    """Says that the processes of a launcher wait for each other."""
    from petseg.processes import find_launch

    launch = find_launch(os.environ)
    if launch.processes > 1 and launch.rank in (0, None):
        where = "" if launch.address is None else f" at {launch.address}"
        warn(f"Waiting until all {launch.processes} processes have started{where}, for 5 minutes.")


def _announce_weights(settings: "Settings") -> None:
    """Says that weights will be downloaded, where they do not come with petseg."""
    assert settings.backbone is not None  # chosen by the settings
    entry = BACKBONES.get(settings.backbone)
    if settings.weights == "imagenet" and not (entry and entry.ships):
        size = f" ({4 * entry.parameters / 1e6:.0f} MB)" if entry else ""
        warn(
            f"ImageNet weights of {settings.backbone}{size} are downloaded to ~/.keras/models "
            "unless they are there."
        )


def _check(settings: "Settings", class_names: tuple[str, ...], out: Path) -> None:
    """Refuses options that would fail only after a download.

    Args:
        settings: The settings, checked one by one.
        class_names: The class names of the data.
        out: Folder for the results.

    Raises:
        typer.BadParameter: If the weights do not exist or do not fit, or `out` is a file.
        ValueError: If the class weights do not fit the classes.
    """
    from petseg.class_balance import checked_class_weights

    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{printable(out)} is not a folder.", param_hint="--out")
    if settings.class_weights is not None:
        checked_class_weights(settings.class_weights, len(class_names))
    weights = settings.weights
    if weights not in (None, "imagenet", "pets") and not Path(weights).exists():
        raise typer.BadParameter(
            "It must be imagenet, pets, none, or the path of a .weights.h5 or .keras file or of "
            f"the folder of a run. Received: {printable(weights)}.",
            param_hint="--weights",
        )


def _check_pretrained(architecture: str, backbone: str | None) -> None:
    """Refuses `--weights pets` where there are no such weights."""
    found: dict[str, list[str]] = {}
    for row in pretrained_models():
        found.setdefault(row.architecture, []).append(row.backbone)
    if architecture not in found:
        raise typer.BadParameter(
            f"pets is for {', '.join(found)}. Received: {architecture}. Use --weights imagenet.",
            param_hint="--weights",
        )
    backbones = found[architecture]
    if backbone not in (None, *backbones):
        raise typer.BadParameter(
            f"pets is for --backbone {', '.join(backbones)}. Received: {backbone}. "
            "Use --weights imagenet.",
            param_hint="--weights",
        )
