"""Where a command's data comes from: its options, as a `petseg.data.source.DataSource`."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from petseg_cli.options import did_you_mean
from petseg_cli.streams import printable, warn
from petseg_cli.tensorflow_logging import quiet_import

if TYPE_CHECKING:
    from petseg.data.source import DataSource
    from petseg_runtime import ModelInfo

PETS, SYNTHETIC = "pets", "synthetic"
DOWNLOAD = "800 MB"

# Notes that say nothing new to a reader of the documentation.
USUAL = (
    "Images: images, masks: masks",
    "Images: train/images, masks: train/masks",
    "Val: a tenth of train, by a hash",
    "Test: a tenth of train, by a hash",
)


def data_source(
    name: str,
    data_dir: Path | None = None,
    classes: Sequence[str] | None = None,
    binary: bool = False,
    **folder: Any,
) -> "DataSource":
    """Builds the source of data that options describe, once they were checked.

    Args:
        name: `--data`: "pets", "synthetic" or a folder.
        data_dir: `--data-dir`, or None.
        classes: `--classes`, or None.
        binary: `--binary`.
        **folder: How a folder is read: `FOLDER_SETTINGS` of `petseg.data.source`.

    Returns:
        The source. No image is read or downloaded yet.

    Raises:
        typer.BadParameter: If an option does not apply to this source.
        FileNotFoundError: If there is no such source.
    """
    _check(name, data_dir, classes, binary)
    with quiet_import():
        from petseg.data.folder_layout import is_official
        from petseg.data.label_tables import LABEL_FILES, find_label_file
        from petseg.data.source import DataSource
    source = DataSource(name, data_dir, classes, binary, **folder)
    if name in (PETS, SYNTHETIC) or classes is not None or source.labels is not None:
        return source
    root = Path(name).expanduser()
    if not is_official(root) and find_label_file(root) is None:
        raise typer.BadParameter(
            f"It is needed with --data {printable(name)}: the class names of the masks, in the "
            "order of the labels, such as background,cat,dog. Or pass --labels, or put one of "
            f"{', '.join(LABEL_FILES)} into the folder.",
            param_hint="--classes",
        )
    return source


def options_of_run(model: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the options of the data from a run's folder.

    Args:
        model: MODEL, which may be the folder of a run.
        given: The options of the data on the command line, by the name of their parameters. They
            override those of the run.

    Returns:
        The other options, by the name of their parameters. None where `model` is no folder of a
        finished run, or `--data` gives data of another kind: not both are folders.

    Raises:
        FileNotFoundError: If the run's data is a folder that is not there.
        ValueError: If the record of the run is damaged, or a table of labels has changed since.
    """
    if model is None or not model.is_dir():
        return {}
    with quiet_import():
        from petseg.data.source import FOLDER_SETTINGS
        from petseg.experiment import Result, RunFiles, find_result
    if not RunFiles(model).result.is_file():
        return {}
    settings = Result.load(model).settings
    data = given.get("data", settings.data)
    if data != settings.data and {data, settings.data} & {PETS, SYNTHETIC}:
        return {}
    if (
        data not in (PETS, SYNTHETIC)
        and "data" not in given
        and not Path(data).expanduser().is_dir()
    ):
        raise FileNotFoundError(
            f"{printable(model)} was trained on the folder {printable(data)}, which is not there. "
            "Pass the folder as --data."
        )
    if not given.keys() & {"data", "classes", "labels", "ignore_class"}:
        find_result(settings, model)  # Refuses a table of labels that has changed.
    names = ("data", "classes", "binary", *FOLDER_SETTINGS)
    return {name: getattr(settings, name) for name in names if name not in given}


def announce_layout(source: "DataSource") -> None:
    """Says how a folder is read, where its layout is not images and masks.

    Args:
        source: The source that is about to be read.
    """
    notes = [note for note in source.notes() if note not in USUAL]
    if notes:
        warn(printable(f"Reading {source.name}. {'. '.join(notes)}."))


def announce_download(source: "DataSource") -> None:
    """Says that reading a source starts a download, and how large it is, where that is so.

    Args:
        source: The source that is about to be read.
    """
    from petseg.data.oxford_pets import is_prepared, pets_folder

    if source.name == PETS and not is_prepared(source.data_dir):
        folder = printable(pets_folder(source.data_dir))
        warn(f"Downloading Oxford-IIIT Pet ({DOWNLOAD}) to {folder}")


def with_channels(source: "DataSource", info: "ModelInfo") -> "DataSource":
    """Lets a folder's images have the channels of a model.

    Args:
        source: The dataset.
        info: The record of the model.

    Returns:
        The dataset with that number of channels. Pets have three and stay as they are.
    """
    if source.name in (PETS, SYNTHETIC):
        return source
    return dataclasses.replace(source, channels=info.channels)


def check_classes(source: "DataSource", info: "ModelInfo", model: str) -> None:
    """Refuses a dataset with other classes than those of a model.

    Args:
        source: The dataset.
        info: The record of the model.
        model: The model's name, for the error.

    Raises:
        ValueError: If the number of classes differs, or their names or order. A model whose classes
            have numbers only may have any names.
    """
    from petseg.data.oxford_pets import BINARY_CLASSES

    known, names = info.class_names, source.class_names
    are_numbers = known == tuple(map(str, range(len(known))))
    if names == known or (are_numbers and len(names) == len(known)):
        return
    remedy = "Choose the dataset of this model with --data."
    if source.classes is not None and len(names) == len(known) and set(names) != set(known):
        remedy = f"If the labels mean the same, pass --classes {','.join(known)}."
    elif source.classes is None and not source.binary and known == BINARY_CLASSES:
        remedy = "Pass --binary."
    raise ValueError(
        f"The dataset must have the classes of {model}: {', '.join(known)}. "
        f"Received: {', '.join(names)}. {remedy}"
    )


def _check(name: str, data_dir: Path | None, classes: Sequence[str] | None, binary: bool) -> None:
    if classes is not None and name in (PETS, SYNTHETIC):
        raise typer.BadParameter(
            f"--data {name} has its own classes. Leave --classes out, or give a folder as --data.",
            param_hint="--classes",
        )
    if data_dir is not None and name != PETS:
        raise typer.BadParameter(
            f"It is for --data pets. Received: --data {printable(name)}.", param_hint="--data-dir"
        )
    if binary and classes is not None:
        raise typer.BadParameter(
            "It merges the border of Oxford-IIIT Pet into the pet. Leave it out with --classes.",
            param_hint="--binary",
        )
    if name not in (PETS, SYNTHETIC) and not Path(name).expanduser().is_dir():
        raise FileNotFoundError(
            "--data must be pets, synthetic or a folder. "
            f"Received: {printable(name)}.{did_you_mean(name, (PETS, SYNTHETIC))}"
        )
