"""Videos with the masks of their frames laid over."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from petseg.experiment import transparent_class

if TYPE_CHECKING:
    import numpy as np

    from petseg_runtime.predictor import Predictor

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


def is_video(path: Path) -> bool:
    """Whether its name says so."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def write_overlaid(
    path: Path,
    target: Path,
    predicts: "Predictor",
    class_names: tuple[str, ...],
    progress: Progress,
) -> None:
    """Writes an MP4 (H.264, no sound) of the video with each frame's mask laid over it.

    Raises `ImportError` when PyAV is not installed, `ValueError` when the file is no video.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError('Videos need PyAV: pip install "petseg[video]".') from error
    try:
        source = av.open(str(path))
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a video: {error}") from error
    with source:
        if not source.streams.video:
            raise ValueError(f"{path} cannot be read as a video: it has no pictures.")
        _copy_overlaid(path, source, target, predicts, class_names, progress)


def _copy_overlaid(
    path: Path,
    source: Any,
    target: Path,
    predicts: "Predictor",
    class_names: tuple[str, ...],
    progress: Progress,
) -> None:
    import av
    import numpy as np

    from petseg.atomic_files import whole_file
    from petseg_runtime import overlay

    video = source.streams.video[0]
    transparent = transparent_class(class_names)
    waiting: deque[tuple[Any, Any, np.ndarray]] = deque()
    task = progress.add_task(path.name, total=video.frames or None)

    def frames() -> "Iterator[np.ndarray]":
        try:
            for frame in source.decode(video):
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                height, width = (side - side % 2 for side in pixels.shape[:2])  # as H.264 wants
                pixels = np.ascontiguousarray(pixels[:height, :width])
                waiting.append((frame.pts, frame.time_base, pixels))
                yield pixels
        except av.error.FFmpegError as error:
            raise ValueError(f"{path} cannot be read as a video: {error}") from error

    with whole_file(target) as part, av.open(str(part), "w", format="mp4") as written:
        stream = written.add_stream("libx264", rate=video.average_rate, options={"crf": "20"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = video.time_base  # frames need not come at one rate
        for mask in predicts.masks(frames()):
            pts, time_base, pixels = waiting.popleft()
            if not stream.codec_context.is_open:
                stream.height, stream.width = mask.shape
            laid_over = overlay(pixels, mask, transparent=transparent, legend=class_names)
            new = av.VideoFrame.from_ndarray(laid_over, format="rgb24")
            new.pts, new.time_base = pts, time_base
            written.mux(stream.encode(new))
            progress.advance(task)
        if not stream.codec_context.is_open:
            raise ValueError(f"{path} cannot be read as a video: it has no pictures.")
        written.mux(stream.encode())
