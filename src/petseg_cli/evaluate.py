"""`petseg evaluate`: the scores of a model on a test split."""

from pathlib import Path
from typing import Annotated

import typer

from petseg_cli.data_source import announce_download, class_names_of, data_source
from petseg_cli.model_loading import DEFAULT_MODEL, LoadedModel, check_model, load_model
from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    ModelImageSize,
    check_can_write,
)
from petseg_cli.streams import printable, warn


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL", help=f"A saved or exported model. Default: {DEFAULT_MODEL}."
        ),
    ] = None,
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    binary: Binary = False,
    image_size: ModelImageSize = None,
    batch_size: BatchSize = 32,
    json: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the scores to this file too.")
    ] = None,
) -> None:
    """Evaluate a model on a whole test split."""
    check_can_write(json, "--json")
    check_model(model)
    source = data_source(data, data_dir, classes, binary)
    loaded = load_model(model)
    names = class_names_of(source)
    if names is not None:
        _check_classes(loaded, names)
    size = loaded.size_for(image_size)

    from rich.console import Console

    import petseg

    announce_download(source)
    splits = source.splits(image_size=size, batch_size=batch_size)
    typer.echo(
        f"Evaluating {loaded.name} on the test split of {printable(data)} "
        f"at {size[0]} x {size[1]} pixels"
    )
    scores = petseg.evaluate(loaded.model, splits.test, class_names=splits.class_names)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        scores.to_json(json)
    Console().print(scores)


def _check_classes(loaded: LoadedModel, names: tuple[str, ...]) -> None:
    """Refuses a dataset with other classes than those of the model.

    Args:
        loaded: The model.
        names: The class names of the dataset.

    Raises:
        ValueError: If the number of classes differs, or the same names come in another order.
    """
    known = loaded.info.class_names
    same = len(names) == len(known) and (set(names) != set(known) or names == known)
    if not same:
        raise ValueError(
            f"The dataset must have the classes of {loaded.name}: {', '.join(known)}. "
            f"Received: {', '.join(names)}."
        )
    has_names = known != tuple(map(str, range(len(known))))
    if has_names and names != known:
        warn(f"The classes of {loaded.name} are called {', '.join(known)}.")
