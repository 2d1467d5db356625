"""Videos with the masks of their frames laid over."""

from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petseg_cli.streams import printable

if TYPE_CHECKING:
    import numpy as np

    from petseg_runtime import ModelInfo
    from petseg_runtime.predictor import Predictor

BIT_RATE = 192_000  # of sound

# A video is cut off when its frames end before this part of the time that its header promises.
# Containers round that time.
WHOLE = 0.9


def write_overlaid(
    path: Path,
    target: Path,
    predictor: "Predictor",
    info: "ModelInfo",
    *,
    comment: str = "",
    on_frame: Callable[[int | None], None] = lambda _total: None,
) -> None:
    """Writes an MP4 (H.264 and AAC) of a video with the mask of each frame laid over it.

    Masks are averaged over frames, so that they flicker less. Frames keep their times, and the
    first sound track is kept.

    Args:
        path: The video.
        target: The file to write.
        predictor: Predicts the masks.
        info: The record of the model.
        comment: A comment to keep in the file.
        on_frame: Called after each frame, with the number of frames where that is known.

    Raises:
        ImportError: If PyAV is not installed.
        ValueError: If the file is not a video, or is cut off.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError('Videos need PyAV: pip install "petseg[video]"') from error
    with path.open("rb") as file:
        try:
            source = av.open(file)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _unreadable(path, _reason(error)) from error
        options = {"movflags": "faststart"}  # what says how long it is comes first
        with source, av.open(str(target), "w", format="mp4", options=options) as written:
            if not source.streams.video:
                raise _unreadable(path, "it has no pictures.")
            written.metadata["comment"] = comment
            _copy(path, source, written, predictor, info, on_frame)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _unreadable(path: Path, reason: str) -> ValueError:
    return ValueError(f"{printable(path)} cannot be read as a video: {reason}")


def _copy(
    path: Path,
    source: Any,
    written: Any,
    predictor: "Predictor",
    info: "ModelInfo",
    on_frame: Callable[[int | None], None],
) -> None:
    import av

    from petseg_runtime import overlay

    video = source.streams.video[0]
    stream = written.add_stream("libx264", rate=video.average_rate, options={"crf": "20"})
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = video.time_base  # frames need not come at one rate
    sound = _Sound(source, written)
    end: Any = None
    # The frames that are read ahead are kept as they are stored, which takes half the memory.
    shown, seen = tee(_frames(path, source, video, sound))
    masks = predictor.frames(_pixels(path, frame) for frame in seen)
    for frame, mask in zip(shown, masks, strict=True):
        if not stream.codec_context.is_open:
            stream.height, stream.width = mask.shape
        laid_over = overlay(
            _pixels(path, frame),
            mask,
            class_names=info.class_names,
            ignore_class=info.ignore_class,
            legend=True,
        )
        new = av.VideoFrame.from_ndarray(laid_over, format="rgb24")
        new.pts, new.time_base = frame.pts, frame.time_base
        written.mux(stream.encode(new))
        end = frame.pts
        on_frame(video.frames or None)
    if not stream.codec_context.is_open:
        raise _unreadable(path, "it has no pictures.")
    if end is not None and _is_cut_off(source, video, end):
        raise _unreadable(path, "it is cut off. Copy the video again.")
    written.mux(stream.encode())
    sound.finish()


class _Sound:
    """Copies the first sound track of a video, if there is one.

    Args:
        source: The container to read.
        written: The container to write.
    """

    def __init__(self, source: Any, written: Any):
        self.streams = source.streams.audio[:1]
        self._written = written
        self._copy: Any = None
        for track in self.streams:
            self._copy = written.add_stream("aac", rate=track.rate)
            self._copy.bit_rate = BIT_RATE

    def add(self, packet: Any) -> None:
        """Encodes the sound in a packet again: MP4 cannot hold every codec."""
        for frame in packet.decode():
            self._written.mux(self._copy.encode(frame))

    def finish(self) -> None:
        """Writes what is left."""
        if self._copy is not None:
            self._written.mux(self._copy.encode())


def _frames(path: Path, source: Any, video: Any, sound: _Sound) -> Iterator[Any]:
    """Yields the frames, and copies the sound between them."""
    import av

    try:
        for packet in source.demux(video, *sound.streams):
            if packet.stream.type == "audio":
                sound.add(packet)
            else:
                yield from packet.decode()
    except av.error.FFmpegError as error:
        raise _unreadable(path, _reason(error)) from error


def _pixels(path: Path, frame: Any) -> "np.ndarray":
    """Returns the pixels of a frame, upright, with even sides as H.264 wants them."""
    import numpy as np

    pixels = _upright(frame.to_ndarray(format="rgb24"), frame)
    height, width = (side - side % 2 for side in pixels.shape[:2])
    if not height or not width:
        raise _unreadable(path, "its frames are one pixel wide or high.")
    return np.ascontiguousarray(pixels[:height, :width])


def _upright(pixels: "np.ndarray", frame: Any) -> "np.ndarray":
    """Turns and mirrors a frame as its display matrix says, in steps of 90 degrees."""
    import numpy as np

    entry = frame.side_data.get("DISPLAYMATRIX")
    if entry is None:
        return pixels
    # x' = a x + c y and y' = b x + d y, in the order a, b, u, c, d, v, x, y, w.
    a, b, _, c, d = np.frombuffer(bytes(entry), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.swapaxes(0, 1)
        a, d = c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _is_cut_off(source: Any, video: Any, end: int) -> bool:
    """Returns whether the last frame comes long before the end that the header promises.

    Args:
        source: The container.
        video: Its video stream.
        end: Time of the last frame, in the stream's unit.
    """
    promised = _promised_seconds(source, video)
    if promised is None or not video.average_rate:
        return False
    # The header of a stream says how long it is; that of a file, when it ends.
    start = video.start_time or 0 if video.duration else 0
    shown = float((end - start) * video.time_base + 2 / video.average_rate)
    return shown < WHOLE * promised


def _promised_seconds(source: Any, video: Any) -> float | None:
    """Returns how long a video stream is by the header of its file, or None where that is unknown.

    The length of the whole file counts only where there is no other stream: sound may be longer.
    """
    import av

    if video.duration:
        return float(video.duration * video.time_base)
    if source.duration and len(source.streams) == 1:
        return float(source.duration / av.time_base)
    return None
