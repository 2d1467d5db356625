"""`petseg evaluate`: the scores of a model on a test split."""

from pathlib import Path
from typing import Annotated

import typer

from petseg_cli.data_source import (
    announce_download,
    announce_layout,
    check_classes,
    data_source,
    with_channels,
)
from petseg_cli.model_loading import MODEL_HELP, find_model, load_model
from petseg_cli.options import (
    BatchSize,
    Binary,
    Classes,
    Data,
    DataDir,
    IgnoreClass,
    Images,
    Labels,
    Masks,
    ModelImageSize,
    check_json_path,
)
from petseg_cli.streams import printable


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help=MODEL_HELP),
    ] = None,
    data: Data = "pets",
    data_dir: DataDir = None,
    classes: Classes = None,
    images: Images = "images",
    masks: Masks = "masks",
    ignore_class: IgnoreClass = "255",
    labels: Labels = None,
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
    source = data_source(
        data,
        data_dir,
        classes,
        binary,
        images=images,
        masks=masks,
        ignore_class=ignore_class,
        labels=labels,
    )
    loaded = load_model(found)
    source = with_channels(source, loaded.info)
    check_classes(source, loaded.info, loaded.name)
    size = loaded.size_for(image_size)

    from rich.console import Console

    import petseg

    announce_download(source)
    announce_layout(source)
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
