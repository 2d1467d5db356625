"""Which photos and videos the arguments of `petseg predict` name."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from petseg_cli.streams import printable

VIDEO_SUFFIXES = {
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".ogv", ".ts", ".webm", ".wmv"),
}

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass
class Inputs:
    """What was found.

    Attributes:
        photos: Photos, each once, in the order of the arguments.
        videos: Videos, in the same way.
        problems: What is wrong with an argument, by its path.
    """

    photos: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    problems: dict[Path, str] = field(default_factory=dict)


def find_inputs(paths: Sequence[Path], channels: int = 3) -> Inputs:
    """Finds photos and videos. Opens no file that could block, and no photo twice.

    Args:
        paths: Photos, videos, and folders of photos.
        channels: Channels of the photos. Where there are not 3, `.npy` files in a folder count.

    Returns:
        What was found.
    """
    found = Inputs()
    seen: set[Path] = set()
    for path in paths:
        try:
            files = list(_files_in(path, channels, found.problems))
        except OSError as error:
            found.problems[path] = str(error)
            continue
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                (found.videos if is_video(file) else found.photos).append(file)
    return found


def is_video(path: Path) -> bool:
    """Tells videos from photos by their names.

    Args:
        path: A path.

    Returns:
        Whether the name is that of a video.
    """
    return path.suffix.lower() in VIDEO_SUFFIXES


def _files_in(path: Path, channels: int, problems: dict[Path, str]) -> Iterator[Path]:
    from petseg_runtime.image_io import find_images
    from petseg_runtime.predictor import is_pattern

    if path.is_dir() or is_pattern(path):

        def report(error: OSError) -> None:
            problems[Path(error.filename)] = str(error)

        images = find_images(path, channels, report)
        yield from (image for image in images if not _is_result(image))
        return
    if not path.exists():
        raise FileNotFoundError(f"There is no file {printable(path)}.")
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "not a file")
        raise OSError(f"{printable(path)} is {kind}. Give a photo, a video or a folder.")
    yield path


def _is_result(image: Path) -> bool:
    """Returns whether `petseg predict` wrote an image."""
    from petseg_runtime.output_notes import read_note

    try:
        return image.suffix.lower() == ".png" and read_note(image) is not None
    except OSError:  # what is wrong with it is said when it is read
        return False
