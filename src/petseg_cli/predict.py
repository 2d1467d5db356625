"""`petseg predict`: the masks of photos, and pictures made from them."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petseg_cli.cutout_options import (
    BackgroundOption,
    CropOption,
    CutoutOption,
    EdgesOption,
    cutout_arguments,
)
from petseg_cli.errors import one_line
from petseg_cli.model_loading import (
    SMALLEST_SIDE,
    LoadedModel,
    ModelOption,
    find_model,
    image_channels,
    load_model,
)
from petseg_cli.options import ModelImageSize, check_json_path, is_given, parse_scales
from petseg_cli.prediction_inputs import Inputs, find_inputs
from petseg_cli.ray_run import check_address, predict_on_ray
from petseg_cli.streams import printable, warn
from petseg_cli.video import write_overlaid

if TYPE_CHECKING:
    from petseg_cli.prediction_output import Item, OutputFolder
    from petseg_runtime.predictor import Prediction, Predictor


def predict(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        # What cannot be read is reported, and the others are processed.
        typer.Argument(
            metavar="PATH", readable=False, help="Photos, folders of photos, and videos."
        ),
    ],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path(
        "predictions"
    ),
    overlay: Annotated[bool, typer.Option(help="Write the photo with its mask laid over.")] = True,
    cutout: CutoutOption = False,
    edges: EdgesOption = None,
    background: BackgroundOption = None,
    crop: CropOption = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Write the probability of the predicted class of each pixel, as grey values "
            "from 0 to 255.",
        ),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.json",
            help="Write the share of each class in each photo. The file is replaced.",
        ),
    ] = None,
    image_size: ModelImageSize = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Average with the mirrored photo; takes twice the time."),
    ] = False,
    scales: Annotated[
        Any,
        typer.Option(
            parser=parse_scales,
            metavar="A,B,...",
            help="Scales at which the model sees each photo, such as 1,1.5. By default 1, and 1.5 "
            "as well for photos with small objects if this pays for the model.",
        ),
    ] = "auto",
    tile: Annotated[
        int | None,
        typer.Option(
            min=SMALLEST_SIDE,
            metavar="PIXELS",
            help="Split each photo into tiles of this side, at its original size.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Predict on a Ray cluster, with one process for each core: local for this machine "
            "alone, auto, or HOST:PORT. Writes masks and index.parquet. PATH can be Parquet files "
            "of photos. Needs petseg[ray].",
        ),
    ] = None,
) -> None:
    """Predict the masks of photos and videos.

    For each photo, NAME_mask.png holds the class of each pixel, and NAME_overlay.png shows it. A
    video becomes NAME_overlay.mp4. Photos that are done already are skipped, so that the same
    command resumes a run. Files that petseg did not write are never replaced.
    """
    _check_sizes(image_size, tile)
    check_json_path(json, "--json")
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{printable(out)} is not a folder.", param_hint="--out")
    found = find_model(model)
    # Large photos are read in bounded memory, up to twice Pillow's limit.
    warnings.filterwarnings("ignore", message=".*decompression bomb", module="PIL")
    inputs = find_inputs(paths, image_channels(found))
    _check_applies(
        inputs,
        {
            "--no-overlay": not overlay,
            "--cutout": cutout,
            "--confidence": confidence,
            "--json": json is not None,
        },
    )
    cutout_settings = cutout_arguments(cutout, edges, background, crop)
    if ray is not None:
        check_address(ray)
        _check_for_ray(context, inputs)
    run = _Run()
    for path, problem in inputs.problems.items():
        run.fail(path, problem)
    if not inputs.photos and not inputs.videos:
        if not inputs.problems:
            warn("There is no photo to predict: all images were written by petseg.")
        raise typer.Exit(1)

    if ray is not None:
        photos_failed = predict_on_ray(
            inputs.photos, out, found, ray, image_size, tta, tile, scales
        )
        raise typer.Exit(run.failed or photos_failed)

    from petseg_cli.prediction_output import OutputFolder
    from petseg_runtime.output_notes import mask_settings

    loaded = load_model(found)
    if cutout and loaded.info.background is None:
        raise ValueError(
            f"--cutout needs a class called background. {loaded.name} has the classes "
            f"{', '.join(loaded.info.class_names)}."
        )
    output = "probabilities" if confidence else "mask"
    predictor = _predictor(loaded, image_size, tta, tile, scales, output)
    settings = mask_settings(loaded.digest, image_size, tta, tile, scales)
    wanted = {"overlay": overlay, "cutout": cutout, "confidence": confidence, "mask": True}
    kinds = tuple(kind for kind, is_wanted in wanted.items() if is_wanted)
    try:
        with OutputFolder(out, loaded.info, settings, kinds, cutout_settings) as folder:
            run.photos(inputs.photos, folder, predictor, loaded)
            run.videos(inputs.videos, folder, predictor, loaded)
    finally:
        run.write_shares(inputs.photos, json)
    raise typer.Exit(run.failed)


def _check_sizes(image_size: tuple[int, int] | None, tile: int | None) -> None:
    if image_size is None:
        return
    if min(image_size) < SMALLEST_SIDE:
        raise typer.BadParameter(
            f"Both sides must be {SMALLEST_SIDE} or more.", param_hint="--image-size"
        )
    if tile is not None and tile > min(image_size):
        raise typer.BadParameter(
            f"A tile of {tile} pixels does not fit into --image-size "
            f"{image_size[0]}x{image_size[1]}.",
            param_hint="--tile",
        )


def _check_applies(inputs: Inputs, given: dict[str, bool]) -> None:
    """Refuses options about photos where there are only videos."""
    wrong = [name for name, is_wanted in given.items() if is_wanted]
    if wrong and inputs.videos and not inputs.photos:
        raise typer.BadParameter(
            "It is for photos. A video gives an overlay only.", param_hint=", ".join(wrong)
        )


def _check_for_ray(context: typer.Context, inputs: Inputs) -> None:
    """Refuses what a Ray cluster does not do."""
    names = ("overlay", "cutout", "edges", "background", "crop", "confidence", "json")
    wrong = [f"--{name}" for name in names if context.params[name] and is_given(context, name)]
    if wrong:
        raise typer.BadParameter(
            f"It writes masks and an index alone. Leave out {', '.join(wrong)}.",
            param_hint="--ray",
        )
    if inputs.videos:
        raise typer.BadParameter(
            f"It is for photos. Received: {printable(inputs.videos[0])}.", param_hint="--ray"
        )


def _predictor(
    loaded: LoadedModel,
    image_size: tuple[int, int] | None,
    tta: bool,
    tile: int | None,
    scales: tuple[float, ...] | str,
    output: str,
) -> "Predictor":
    if image_size is not None and tile is None:
        loaded.size_for(image_size)
    if loaded.info.image_size is None and loaded.fixed_size is None and not (image_size or tile):
        loaded.warn_of_unknown_size("photos are scaled to a shorter side of 224 pixels")
    return loaded.predictor(image_size, tta, tile, scales, output)


@dataclass
class _Run:
    """What has been done so far.

    Attributes:
        failed: Whether a photo or video failed.
        shares: Share of each class by photo.
    """

    failed: bool = False
    shares: dict[Path, dict[str, float]] = field(default_factory=dict)

    def fail(self, path: Path, problem: str) -> None:
        """Reports a photo or video that failed."""
        self.failed = True
        shown = printable(path)
        warn(problem if shown in problem else f"{shown}: {problem}")

    def photos(
        self, paths: list[Path], folder: "OutputFolder", predictor: "Predictor", loaded: LoadedModel
    ) -> None:
        """Predicts the photos that are not done."""
        from petseg_runtime.output_files import class_shares
        from petseg_runtime.parallel import in_order

        missing = self._missing(paths, folder)
        if self.shares:
            typer.echo(f"Already in {printable(folder.folder)}: {_photos(len(self.shares))}")
        written = 0
        predicted = zip(missing, predictor.files(item.path for item in missing), strict=True)

        def write(
            one: tuple["Item", "Prediction"],
        ) -> tuple[list[Path], dict[str, float]] | Exception:
            item, found = one
            try:
                if found.error is not None:
                    raise found.error
                files = folder.write_photo(item, found)
            except (OSError, ValueError) as error:
                return error
            assert found.mask is not None
            return files, class_shares(found.mask, loaded.info.class_names)

        with _progress("photos", redrawn=len(missing) > 1) as (say, advance):
            for item, result in zip(missing, in_order(write, predicted), strict=True):
                advance(len(missing))
                if isinstance(result, Exception):
                    self.fail(item.path, one_line(result))
                    continue
                written += 1
                files, self.shares[item.path] = result
                say(item.path, files)
        if written > 1:
            typer.echo(f"Wrote {_photos(written)} to {printable(folder.folder)}")

    def _missing(self, paths: list[Path], folder: "OutputFolder") -> list["Item"]:
        """Finds the photos that are not done, and reads the shares of those that are."""
        missing: list[Item] = []
        for path in paths:
            try:
                item = folder.item(path)
                if folder.is_done(item):
                    self.shares[path] = folder.shares(item)
                else:
                    missing.append(item)
            except (OSError, ValueError) as error:
                self.fail(path, one_line(error))
        return missing

    def videos(
        self, paths: list[Path], folder: "OutputFolder", predictor: "Predictor", loaded: LoadedModel
    ) -> None:
        """Lays the masks over the videos that are not done."""
        for path in paths:
            try:
                item = folder.item(path, is_video=True)
                if folder.is_done(item):
                    typer.echo(f"Already in {printable(folder.folder)}: {printable(path.name)}")
                    continue
                with _progress(printable(path.name), redrawn=True) as (_, advance):

                    def write(part: Path, comment: str, path: Path = path) -> None:
                        write_overlaid(
                            path,
                            part,
                            predictor,
                            loaded.info,
                            comment=comment,
                            on_frame=advance,
                        )

                    files = folder.write_video(item, write)
                _say(path, files)
            except (OSError, ValueError) as error:
                self.fail(path, one_line(error))

    def write_shares(self, photos: list[Path], file: Path | None) -> None:
        """Writes the shares of the photos that are done, in the order of the arguments."""
        if file is None:
            return
        from petseg_runtime.atomic_files import write_json

        file.parent.mkdir(parents=True, exist_ok=True)
        done = {printable(path): self.shares[path] for path in photos if path in self.shares}
        write_json(file, done)


def _say(path: Path, files: list[Path]) -> None:
    names = ", ".join(printable(file.name) for file in files)
    typer.echo(f"{printable(path)} -> {names}")


def _photos(count: int) -> str:
    return f"{count} photo{'s' if count > 1 else ''}"


@contextmanager
def _progress(
    label: str, *, redrawn: bool
) -> Iterator[tuple[Callable[[Path, list[Path]], None], Callable[[int | None], None]]]:
    """Shows how far the work is: one redrawn line on a terminal, else a line for each file.

    Args:
        label: What is counted.
        redrawn: Whether the redrawn line is worth it: not for one photo.

    Yields:
        A function that reports the files of a photo or video, and one that counts another step and
        takes the number of all steps where that is known.
    """
    if not redrawn or not (sys.stderr.isatty() and sys.stdout.isatty()):
        yield _say, lambda _total: None
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def advance(total: int | None) -> None:
            bar.update(task, advance=1, total=total)

        yield lambda _path, _files: None, advance
