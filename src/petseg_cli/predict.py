"""`petseg predict`: the masks of photos, and what is made of them."""

import json as json_format
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from petseg.experiment import trained_size, transparent_class
from petseg_cli.options import ImageSize
from petseg_cli.tensorflow_logging import quiet_import

if TYPE_CHECKING:
    import numpy as np

SETTINGS_KEY = "petseg"  # of the text in a PNG that says how it was made


def predict(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Photos, folders of photos, or videos."),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A model that was trained and saved, or exported. By default the U-Net for pets "
            "that comes with petseg.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path(
        "predictions"
    ),
    overlay: Annotated[bool, typer.Option(help="The photo with the mask laid over.")] = True,
    cutout: Annotated[
        bool, typer.Option("--cutout", help="The pet on a transparent ground.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(metavar="OUT.json", help="The share of each class in each photo."),
    ] = None,
    image_size: ImageSize = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average with the mirror image: twice the time.")
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(min=32, help="See photos at their own size, in squares of so many pixels."),
    ] = None,
) -> None:
    """Write the mask of each photo (pixel = class) and a copy of it with the mask laid over.

    Started again, it goes on: photos whose mask is there already, made in the same way, are left.
    A video becomes a video with the masks laid over.
    """
    with quiet_import():
        from petseg.prediction import predictor
    from petseg_cli.video import is_video, write_overlaid

    network, source, class_names, trained = open_network(model)
    image_size = image_size or (None if tile else trained)
    predicts = predictor(network, image_size, tta, tile)
    settings = {"model": source, "image_size": image_size, "tta": tta, "tile": tile}
    found = dict(_named(photos))
    work = Work(out, class_names, settings, overlay, cutout)
    out.mkdir(parents=True, exist_ok=True)
    failed = False
    names = {path: name for path, name in found.items() if not is_video(path)}
    known = {path: work.done(path, name) for path, name in names.items()}
    shares = {str(path): done for path, done in known.items() if done is not None}
    missing = [path for path, done in known.items() if done is None]
    if shares:
        typer.echo(f"Already in {out}: {len(shares)} of {len(known)} photos.")
    with progress_bar() as progress:
        task = progress.add_task("photos", total=len(missing), visible=len(missing) > 1)
        for path, mask in predicts.files(missing):
            progress.advance(task)
            try:
                if isinstance(mask, Exception):
                    raise mask
                written = work.write(path, found[path], mask)
            except (OSError, ValueError) as error:
                failed = _said(path, error)
                continue
            shares[str(path)] = work.shares(mask)
            typer.echo(
                f"{path} -> {out / written[0]}{''.join(f', {file}' for file in written[1:])}"
            )
        for path in filter(is_video, found):
            clip = out / f"{found[path]}_overlay.mp4"
            try:
                write_overlaid(path, clip, predicts, class_names, progress)
            except (OSError, ValueError) as error:
                failed = _said(path, error)
            else:
                typer.echo(f"{path} -> {clip}")
    if json is not None:
        from petseg.atomic_files import write_json

        json.parent.mkdir(parents=True, exist_ok=True)
        write_json(json, {str(path): shares[str(path)] for path in found if str(path) in shares})
    raise typer.Exit(failed)


def _said(path: Path, error: Exception) -> bool:
    typer.echo(f"{path}: {' '.join(str(error).split())}", err=True)
    return True


def progress_bar() -> Progress:
    """A bar on stderr, where that is a terminal, that goes when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    return Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def open_network(model: Path | None) -> tuple[Any, str, tuple[str, ...], tuple[int, int] | None]:
    """The network, what identifies it, its class names, and the size that it was trained on."""
    import petseg
    from petseg.evaluation import class_names_of

    if model is None:
        from petseg.pretrained import read_card

        card = read_card("unet")
        network = petseg.unet(weights="pets")
        return network, card["sha256"], tuple(card["class_names"]), tuple(card["image_size"])
    if not model.exists():
        raise FileNotFoundError(f"There is no model file {model}.")
    stamp = f"{model.resolve()} {model.stat().st_mtime_ns}"
    if model.suffix != ".keras":
        runtime = petseg.Runtime(model)
        trained = trained_size(model) if runtime.input_size == (None, None) else None
        return runtime, stamp, runtime.class_names, trained
    network = load(model)
    return network, stamp, class_names_of(network)[0], trained_size(model)


def load(path: Path) -> Any:
    """The Keras model in a file."""
    import warnings

    import keras

    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {path}.")
    with warnings.catch_warnings():
        # A model saved before it was trained; nothing here needs the optimizer.
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        return keras.saving.load_model(path)


@dataclass(frozen=True)
class Work:
    """What is written of each photo, and where."""

    out: Path
    class_names: tuple[str, ...]
    settings: dict[str, Any]
    overlay: bool
    cutout: bool

    def __post_init__(self) -> None:
        if self.cutout and transparent_class(self.class_names) is None:
            raise ValueError(
                "`--cutout` needs a class called background to cut away. "
                f"Received: a model of {', '.join(self.class_names) or 'classes without names'}."
            )

    def files(self, name: str) -> dict[str, Path]:
        """The files of a photo by kind; the mask, which says that all are there, comes last."""
        kinds = ("overlay",) * self.overlay + ("cutout",) * self.cutout + ("mask",)
        return {kind: self.out / f"{name}_{kind}.png" for kind in kinds}

    def done(self, path: Path, name: str) -> dict[str, float] | None:
        """The shares of a photo whose files are all there, made in this way, and newer than it."""
        import numpy as np
        from PIL import Image

        files = self.files(name)
        try:
            begun = path.stat().st_mtime_ns
            for file in files.values():
                with Image.open(file) as picture:
                    same = picture.info.get(SETTINGS_KEY) == self._note(path)
                    if not same or file.stat().st_mtime_ns < begun:
                        return None
            with Image.open(files["mask"]) as mask:
                return self.shares(np.array(mask))
        except (OSError, ValueError):
            return None

    def write(self, path: Path, name: str, mask: "np.ndarray") -> list[str]:
        """Writes what is not there yet, and returns the names of the files."""
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        from petseg.atomic_files import whole_file
        from petseg_runtime import cutout, overlay
        from petseg_runtime.image_io import read_image

        transparent = transparent_class(self.class_names)
        note = PngInfo()
        note.add_text(SETTINGS_KEY, self._note(path))
        files = self.files(name)
        image = read_image(path) if self.overlay or self.cutout else mask
        make: dict[str, Callable[[], np.ndarray]] = {
            "overlay": lambda: overlay(
                image, mask, transparent=transparent, legend=self.class_names
            ),
            "cutout": lambda: cutout(image, mask, transparent=self.class_names.index("background")),
            "mask": lambda: mask,
        }
        for kind, file in files.items():
            with whole_file(file) as part:
                Image.fromarray(make[kind]()).save(part, "PNG", pnginfo=note)
        return [file.name for file in reversed(files.values())]

    def shares(self, mask: "np.ndarray") -> dict[str, float]:
        """The share of each class in a mask."""
        import numpy as np

        names = self.class_names or tuple(map(str, range(int(mask.max()) + 1)))
        counts = np.bincount(mask.ravel(), minlength=len(names))
        return {
            name: round(int(count) / mask.size, 4)
            for name, count in zip(names, counts, strict=False)
        }

    def _note(self, path: Path) -> str:
        return json_format.dumps({"photo": str(path), **self.settings})


def _named(photos: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each photo or video, those in folders included, with a name that no other has."""
    used: set[str] = set()
    seen: set[Path] = set()
    for path in photos:
        for photo in _photos_in(path) if path.is_dir() else [path]:
            if photo in seen:
                continue
            seen.add(photo)
            name, number = photo.stem, 2
            while name.casefold() in used:  # some systems take cat.png and Cat.png for one file
                name, number = f"{photo.stem}-{number}", number + 1
            used.add(name.casefold())
            yield photo, name


def _photos_in(folder: Path) -> Iterator[Path]:
    """The images in a folder but those that this command wrote."""
    from PIL import Image

    from petseg_runtime.image_io import find_images

    for path in find_images(folder):
        try:
            with Image.open(path) as image:
                written_here = SETTINGS_KEY in image.info
        except Exception:  # what is wrong with it is said when it is read
            written_here = False
        if not written_here:
            yield path
