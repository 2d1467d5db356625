"""`petseg evaluate`: the scores of a model on a test split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petseg_cli.data_source import announce_download, class_names_of, data_source
from petseg_cli.model_loading import MODEL_HELP, LoadedModel, find_model, load_model
from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    ModelImageSize,
    check_json_path,
)
from petseg_cli.streams import printable

if TYPE_CHECKING:
    from petseg.data.source import DataSource


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help=MODEL_HELP),
    ] = None,
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    binary: Binary = False,
    image_size: ModelImageSize = None,
    batch_size: BatchSize = 32,
    json: Annotated[
        Path | None,
        typer.Option(metavar="OUT.json", help="Write the scores to this file too. It is replaced."),
    ] = None,
) -> None:
    """Evaluate a model on a whole test split."""
    check_json_path(json, "--json")
    found = find_model(model)
    source = data_source(data, data_dir, classes, binary)
    loaded = load_model(found)
    _check_classes(loaded, source)
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


def _check_classes(loaded: LoadedModel, source: "DataSource") -> None:
    """Refuses a dataset with other classes than those of the model.

    Args:
        loaded: The model.
        source: The dataset.

    Raises:
        ValueError: If the number of classes differs, or their names or order. A model whose classes
            have numbers only may have any names.
    """
    from petseg.data.oxford_pets import BINARY_CLASSES

    known, names = loaded.info.class_names, class_names_of(source)
    are_numbers = known == tuple(map(str, range(len(known))))
    if names == known or (are_numbers and len(names) == len(known)):
        return
    remedy = "Choose the dataset of this model with --data."
    if source.classes is not None and len(names) == len(known) and set(names) != set(known):
        remedy = f"If the labels mean the same, pass --classes {','.join(known)}."
    elif source.classes is None and not source.binary and known == BINARY_CLASSES:
        remedy = "Pass --binary."
    raise ValueError(
        f"The dataset must have the classes of {loaded.name}: {', '.join(known)}. "
        f"Received: {', '.join(names)}. {remedy}"
    )
