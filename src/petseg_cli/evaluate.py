"""`petseg evaluate`: the scores of a model on a test split."""

from pathlib import Path
from typing import Annotated, Any

import typer

from petseg_cli.data_source import (
    announce_download,
    announce_layout,
    check_classes,
    data_source,
    options_of_run,
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
    is_given,
)
from petseg_cli.streams import printable


def evaluate(
    context: typer.Context,
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
    """Evaluate a model on a whole test split.

    Where MODEL is the folder of a run, the data and its options are those of the run; options on
    the command line override them.
    """
    check_json_path(json, "--json")
    found = find_model(model)
    options: dict[str, Any] = {
        "data": data,
        "classes": classes,
        "images": images,
        "masks": masks,
        "ignore_class": ignore_class,
        "labels": labels,
        "binary": binary,
    }
    given = {name: value for name, value in options.items() if is_given(context, name)}
    options |= options_of_run(model, given)
    source = data_source(options.pop("data"), data_dir, **options)
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
        f"Evaluating {loaded.name} on the test split of {printable(source.name)} "
        f"at {size[0]} x {size[1]} pixels"
    )
    scores = petseg.evaluate(loaded.model, splits.test, class_names=splits.class_names)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        scores.to_json(json)
    Console().print(scores)
