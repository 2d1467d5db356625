"""`petseg evaluate` and `petseg predict`: a trained model at work."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    ImageSize,
    ModelFile,
)
from petseg_cli.quiet import quiet_import
from petseg_cli.record import trained_size, transparent_class
from petseg_cli.sources import Source

if TYPE_CHECKING:
    import keras


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

    network = _load(model)
    source = Source(data, data_dir, classes, binary)
    image_size = image_size or trained_size(model) or (224, 224)
    splits = source.splits(image_size=image_size, batch_size=batch_size)
    result = petseg.evaluate(network, splits.test, class_names=splits.class_names)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        result.to_json(json)
    Console().print(result)


def predict(
    photos: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photos, or folders.")],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.keras",
            help="A model that was trained and saved. By default the U-Net for pets that comes "
            "with petseg.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path(
        "predictions"
    ),
    image_size: ImageSize = None,
) -> None:
    """Write the mask of each photo (pixel = class) and a copy of it with the mask laid over."""
    with quiet_import():
        import petseg
    from PIL import Image

    from petseg.images import read_image
    from petseg.shipped import read_card

    if model is None:
        network = petseg.unet(weights="pets")
        image_size = image_size or tuple(read_card("unet")["image_size"])
    else:
        network = _load(model)
        image_size = image_size or trained_size(model)
    transparent = _transparent_class(network)
    out.mkdir(parents=True, exist_ok=True)
    failed = False
    for path, name in _named(photos):
        try:
            image = read_image(path)
        except (OSError, ValueError) as error:
            typer.echo(f"{path}: {error}", err=True)
            failed = True
            continue
        mask = petseg.predict(network, image, image_size=image_size)
        coloured = petseg.overlay(image, mask, transparent=transparent)
        Image.fromarray(mask).save(out / f"{name}_mask.png")
        Image.fromarray(coloured).save(out / f"{name}_overlay.png")
        typer.echo(f"{path} -> {out / name}_mask.png, {name}_overlay.png")
    raise typer.Exit(failed)


def _load(path: Path) -> "keras.Model":
    import keras

    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {path}.")
    with warnings.catch_warnings():
        # A model saved before it was trained; nothing here needs the optimizer.
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        return keras.saving.load_model(path)


def _transparent_class(network: "keras.Model") -> int | None:
    from petseg.evaluation import compiled_mean_iou

    metric = compiled_mean_iou(network)
    return transparent_class(metric.class_names if metric else ())


def _named(photos: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each photo, those in folders included, with a name that no other has."""
    from petseg.images import find_images

    used: set[str] = set()
    for path in photos:
        for photo in find_images(path) if path.is_dir() else [path]:
            name, number = photo.stem, 2
            while name in used:
                name, number = f"{photo.stem}-{number}", number + 1
            used.add(name)
            yield photo, name
