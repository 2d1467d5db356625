"""`petseg export`: a model in the format of another runtime."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from petseg_cli.data_source import (
    announce_download,
    announce_layout,
    check_classes,
    data_source,
    with_channels,
)
from petseg_cli.model_loading import DEFAULT_MODEL, KERAS_SUFFIX, find_model, load_keras_model
from petseg_cli.options import (
    Binary,
    Classes,
    DataDir,
    IgnoreClass,
    Images,
    Labels,
    Masks,
    ModelImageSize,
)
from petseg_cli.streams import printable
from petseg_cli.tensorflow_logging import quiet_stderr

LITERT = ".tflite"


class Serving(StrEnum):
    """A server that reads folders of models."""

    TENSORFLOW = "tensorflow"
    TRITON = "triton"


class Quantization(StrEnum):
    """Smaller numbers for the weights, or for all of the computation."""

    FLOAT16 = "float16"
    INT8 = "int8"


def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="FILE.onnx, FILE.tflite (LiteRT), FILE.xml (OpenVINO), or a new folder "
            "(SavedModel). With --serving, the folder of the model.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="A pretrained model by name (petseg models), a .keras file, or the folder of a "
            f"run. Default: {DEFAULT_MODEL}.",
        ),
    ] = None,
    quantize: Annotated[
        Quantization | None,
        typer.Option(
            metavar="float16|int8",
            help="Make a LiteRT file smaller; int8 is calibrated on the validation split of "
            "--data.",
        ),
    ] = None,
    argmax: Annotated[
        bool, typer.Option("--argmax", help="Return classes instead of logits.")
    ] = False,
    serving: Annotated[
        Serving | None,
        typer.Option(
            metavar="tensorflow|triton",
            help="Write the next version in OUT, as TensorFlow Serving or Triton reads it.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "--source",
            metavar="DATA",
            help="Images for int8: pets (default), synthetic, or a folder of images and masks.",
        ),
    ] = None,
    data_dir: DataDir = None,
    classes: Classes = None,
    images: Images = "images",
    masks: Masks = "masks",
    ignore_class: IgnoreClass = "255",
    labels: Labels = None,
    binary: Binary = False,
    image_size: ModelImageSize = None,
) -> None:
    """Export a model to ONNX, LiteRT, OpenVINO or SavedModel.

    The exported file is run and compared with the model before it is kept. The options of the data
    and --image-size are for --quantize int8 alone.
    """
    given = {
        "--data": data,
        "--data-dir": data_dir,
        "--classes": classes,
        "--images": None if images == "images" else images,
        "--masks": None if masks == "masks" else masks,
        "--ignore-class": None if ignore_class == 255 else ignore_class,
        "--labels": labels,
        "--binary": binary or None,
        "--image-size": image_size,
    }
    _check_options(out, quantize, [name for name, value in given.items() if value is not None])
    _check_out(out, serving)
    found = find_model(model)
    if isinstance(found, Path) and found.suffix != KERAS_SUFFIX:
        raise typer.BadParameter(
            "It must be a pretrained model, a .keras file or the folder of a run. "
            f"Received: {printable(found)}.",
            param_hint="--model",
        )
    source = None
    if quantize is Quantization.INT8:
        source = data_source(
            data or "pets",
            data_dir,
            classes,
            binary,
            images=images,
            masks=masks,
            ignore_class=ignore_class,
            labels=labels,
        )
    loaded = load_keras_model(found)
    calibration: Any = None
    checked = f"its {'classes' if quantize or argmax else 'logits'} on synthetic pets"
    if source is not None:
        source = with_channels(source, loaded.info)
        check_classes(source, loaded.info, loaded.name)
        size = loaded.size_for(image_size)
        announce_download(source)
        announce_layout(source)
        calibration = source.splits(image_size=size).val
        checked = f"its mean IoU on {printable(source.name)} at {size[0]} x {size[1]} pixels"

    import petseg

    with quiet_stderr():  # the converters write to it
        written = petseg.export(
            loaded.model,
            out,
            quantize=quantize,
            calibration=calibration,
            argmax=argmax,
            serving=serving,
        )
    typer.echo(f"Wrote {printable(written)} ({_size_of(written) / 1e6:.1f} MB)")
    typer.echo(f"Checked against {loaded.name}: {checked}")


def _check_options(out: Path, quantize: Quantization | None, data_options: list[str]) -> None:
    if quantize is not None and out.suffix.lower() != LITERT:
        raise typer.BadParameter(
            f"It is for LiteRT: OUT must end in {LITERT}. Received: {printable(out)}.",
            param_hint="--quantize",
        )
    if data_options and quantize is not Quantization.INT8:
        raise typer.BadParameter(
            "It applies with --quantize int8 only.", param_hint=", ".join(data_options)
        )


def _check_out(out: Path, serving: Serving | None) -> None:
    """Refuses a place where the exported model cannot be put, before any work is done."""
    from petseg_runtime.export_path import check_export_path, check_model_folder
    from petseg_runtime.formats import format_name
    from petseg_runtime.model_folders import SERVERS

    try:
        if serving is None:
            check_export_path(out, format_name(out))
        else:
            check_model_folder(out, SERVERS[serving])
    except (ValueError, OSError) as error:
        raise type(error)(str(error).replace("`path`", "OUT")) from error


def _size_of(out: Path) -> int:
    """Returns the bytes of an exported model."""
    from petseg_runtime.formats import format_of

    return sum(file.stat().st_size for file in format_of(out).files(out))
