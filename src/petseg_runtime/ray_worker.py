"""What a worker of `ray_prediction` does: masks of batches of photos, on one core.

A batch that is predicted twice writes the same files twice, and photos whose mask is there are not
predicted again. Where processes ended at a batch, its photos are predicted one by one, and a
photo at which they end is left out: Ray would try the batch again without end.
"""

import io
import os
import pickle
import platform
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from petseg_runtime.image_io import decode_image, read_image, turn
from petseg_runtime.output_files import (
    PHOTO_FILES,
    class_shares,
    identity_of,
    remove_outdated,
    write_png,
)
from petseg_runtime.output_notes import (
    is_whole,
    mask_settings,
    note_for,
    photo_of,
    read_note,
    version_of_file,
)
from petseg_runtime.parallel import in_order
from petseg_runtime.part_folders import locked
from petseg_runtime.path_text import as_text
from petseg_runtime.prediction_index import SHARE_PREFIX, PredictionIndex, name_of_part
from petseg_runtime.predictor import Prediction, Predictor
from petseg_runtime.runtime import Runtime
from petseg_runtime.work_marks import WorkMarks

KINDS = ("mask",)
MOST_ENDS = 2  # of processes at the same work: one may be an accident
ROWS_AT_ONCE = 16
BUFFER = 2**20

# A photo to predict: its path as text; the path, and the name of its mask, in the bytes of the file
# system; and why it cannot be predicted, mostly null. Where Parquet files hold the encoded photos,
# also the place of this one.
PHOTOS = pa.schema(
    [
        ("path", pa.string()),
        ("file", pa.binary()),
        ("name", pa.binary()),
        ("error", pa.string()),
        ("source", pa.binary()),
        ("group", pa.int64()),
        ("row", pa.int64()),
    ]
)
REPORT = pa.schema([("photos", pa.int64()), ("failure", pa.binary())])


@dataclass(frozen=True)
class Job:
    """What a worker must know.

    Attributes:
        out: The output folder.
        model: Name of a pretrained model, or the path of an ONNX file.
        digest: Digest of the model.
        image_size: See `predict_photos`.
        tta: See `predict_photos`.
        tile: See `predict_photos`.
        scales: See `predict_photos`.
        parts: A folder on the same disk as `out` for files that are not complete.
    """

    out: Path
    model: str | Path
    digest: str
    image_size: tuple[int, int] | None
    tta: bool
    tile: int | None
    scales: Sequence[float] | str
    parts: Path = Path()

    def runtime(self) -> Runtime:
        """Opens the model."""
        if isinstance(self.model, Path):
            return Runtime(self.model)
        return Runtime.pretrained(self.model)

    def predictor(self, runtime: Runtime) -> Predictor:
        """Makes what predicts photos on one core.

        Raises:
            ValueError: If an argument does not fit the model.
        """
        predictor = runtime.predictor(self.image_size, self.tta, self.tile, self.scales)
        assert predictor.one_core is not None  # ONNX
        return replace(predictor, model=predictor.one_core(), one_core=None)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides on the masks."""
        return mask_settings(self.digest, self.image_size, self.tta, self.tile, self.scales)

    def index(self, class_names: tuple[str, ...]) -> PredictionIndex:
        """Returns the index of the output folder."""
        return PredictionIndex(self.out, class_names, self.settings)


@dataclass(frozen=True)
class Photo:
    """A photo to predict.

    Attributes:
        path: Its path as text, for the index.
        identity: What identifies it in the note of its mask.
        note: The note of its mask.
        mask: The file of its mask.
    """

    path: str
    identity: str
    note: str
    mask: Path


def identity_in_note(photo: dict[str, Any], real_out: Path) -> str:
    """Returns what identifies a photo in the note of its mask.

    Args:
        photo: A row of `PHOTOS`.
        real_out: The output folder, resolved.

    Returns:
        As for `petseg predict`, or the name of a photo that is no file.
    """
    file = os.fsdecode(photo["file"])
    return file if photo["source"] is not None else identity_of(Path(file), real_out)


class EncodedPhotos:
    """Reads photos from Parquet files, a few at once, fastest in the order of the rows."""

    def __init__(self) -> None:
        self._place: tuple[bytes, int] | None = None
        self._start = 0  # the first row of the chunk
        self._chunk: pa.RecordBatch | None = None

    def read(self, photo: dict[str, Any]) -> bytes:
        """Reads a photo.

        Args:
            photo: A row of `PHOTOS`.

        Returns:
            The encoded photo; nothing where the column has none.

        Raises:
            OSError: If the file cannot be read.
        """
        place, row = (photo["source"], photo["group"]), photo["row"]
        if place != self._place or self._chunk is None or row < self._start:
            # Without a buffer, all rows of the group would be in memory.
            file = pq.ParquetFile(os.fsdecode(place[0]), buffer_size=BUFFER, pre_buffer=False)
            self._chunks = file.iter_batches(ROWS_AT_ONCE, [place[1]], ["bytes"])
            self._place, self._start, self._chunk = place, 0, next(self._chunks)
        while row >= self._start + len(self._chunk):
            self._start += len(self._chunk)
            self._chunk = next(self._chunks)
        return self._chunk["bytes"][row - self._start].as_py() or b""


class Worker:
    """Predicts batches of photos, in a process with one core.

    Args:
        job: What it must know.
    """

    def __init__(self, job: Job):
        self._job = job
        self._real_out = job.out.resolve()
        self._encoded = EncodedPhotos()

    @cached_property
    def _predictor(self) -> Predictor:
        warnings.filterwarnings("ignore", message=".*decompression bomb", module="PIL")
        runtime = self._job.runtime()
        if runtime.digest != self._job.digest:
            raise ValueError(
                f"{platform.node()} has another model {self._job.model} than the driver. "
                "Install the same version of petseg on all machines."
            )
        return self._job.predictor(runtime)

    @cached_property
    def _index(self) -> PredictionIndex:
        return self._job.index(self._predictor.info.class_names)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Writes the masks of a batch, and its part of the index.

        Args:
            batch: A table `PHOTOS`.

        Returns:
            A table `REPORT` of one row: the number of photos, and what stops the whole job.
        """
        try:
            rows = self._rows(batch)
            if rows:
                paths = [row["path"] for row in rows]
                table = pa.Table.from_pylist(rows, schema=self._index.schema)
                self._write(self._index.part(paths), lambda part: _write_table(part, table))
        except (OSError, ValueError, ImportError, MemoryError) as error:
            failure = pickle.dumps(error.with_traceback(None))
            return pa.Table.from_pylist([{"photos": 0, "failure": failure}], REPORT)
        return pa.Table.from_pylist([{"photos": len(rows), "failure": None}], REPORT)

    def _rows(self, batch: pa.Table) -> list[dict[str, Any]]:
        """Predicts what is not done, and returns a row of the index for each photo."""
        paths = batch["path"].to_pylist()
        marks = WorkMarks(self._job.parts, name_of_part(paths))
        if marks.left("batch") < MOST_ENDS:
            with marks.of("batch"):
                return self._predicted(batch)
        self._open_model(marks)
        rows: list[dict[str, Any]] = []
        for number, path in enumerate(paths):
            ends = marks.left(f"photo-{number}")
            if ends >= MOST_ENDS:
                rows.append({"path": path, "error": _error_of_ends(ends)})
                continue
            with marks.of(f"photo-{number}"):
                rows += self._predicted(batch.slice(number, 1))
        return rows

    def _open_model(self, marks: WorkMarks) -> None:
        """Opens the model, so that no photo is blamed where this ends the process.

        Raises:
            MemoryError: If processes ended there.
        """
        ends = marks.left("model")
        if ends >= MOST_ENDS:
            raise MemoryError(
                f"The process of a worker ended {ends} times while it opened the model. "
                "Give the machines more memory for each core."
            )
        with marks.of("model"):
            _ = self._predictor

    def _predicted(self, batch: pa.Table) -> list[dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        waiting: deque[Photo] = deque()
        encoded: dict[Path, bytes] = {}

        def missing() -> Iterator[Path]:  # drawn as the photos are predicted
            for given in batch.to_pylist():
                if given["error"] is not None:
                    rows[given["path"]] = {"path": given["path"], "error": given["error"]}
                    continue
                try:
                    file, photo, data = self._photo(given)
                    rows[photo.path] = {}  # keeps the order
                    if _is_done(photo):
                        with Image.open(photo.mask) as mask:
                            rows[photo.path] = self._row(photo, np.asarray(mask))
                        continue
                except OSError as error:
                    rows[given["path"]] = {"path": given["path"], "error": as_text(str(error))}
                    continue
                if data is not None:
                    encoded[file] = data
                waiting.append(photo)
                yield file

        def read(path: Path, channels: int) -> np.ndarray:
            data = encoded.pop(path, None)
            if data is None:
                return read_image(path, channels)
            return decode_image(io.BytesIO(data), str(path), channels)

        found = self._predictor.files(missing(), read)
        for row in in_order(self._finished, ((waiting.popleft(), one) for one in found)):
            rows[row["path"]] = row
        return list(rows.values())

    def _photo(self, given: dict[str, Any]) -> tuple[Path, Photo, bytes | None]:
        """Returns the path of a photo, the photo, and its content where that is not a file."""
        file = Path(os.fsdecode(given["file"]))
        data = None if given["source"] is None else self._encoded.read(given)
        if data is None:
            version = version_of_file(file.stat())
        else:
            version = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
        identity = identity_in_note(given, self._real_out)
        note = note_for(identity, version, self._job.settings)
        mask = self._job.out / f"{os.fsdecode(given['name'])}{PHOTO_FILES['mask']}"
        return file, Photo(given["path"], identity, note, mask), data

    def _finished(self, one: tuple[Photo, Prediction]) -> dict[str, Any]:
        """Writes a mask, and returns its row of the index."""
        photo, found = one
        if found.mask is None:
            return {"path": photo.path, "error": as_text(str(found.error))}
        mask = Image.fromarray(found.mask)
        try:
            with turn(mask.size):
                self._write(
                    photo.mask,
                    lambda part: write_png(part, mask, "mask", photo.note),
                    lambda: self._replaces_own(photo),
                )
        except FileExistsError as error:
            return {"path": photo.path, "error": as_text(str(error))}
        return self._row(photo, found.mask)

    def _row(self, photo: Photo, mask: np.ndarray) -> dict[str, Any]:
        shares = class_shares(mask, self._predictor.info.class_names)
        return {
            "path": photo.path,
            "mask": as_text(photo.mask.name),
            "height": mask.shape[0],
            "width": mask.shape[1],
            **{f"{SHARE_PREFIX}{name}": share for name, share in shares.items()},
        }

    def _write(
        self,
        file: Path,
        write: Callable[[Path], None],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes a file under another name, then gives it its own."""
        part = self._job.parts / f"{uuid4().hex}.part"
        try:
            write(part)
            with locked(self._job.out):
                before()
                part.replace(file)
        except OSError as error:
            if error.errno is not None:  # as where the disk is full
                error.filename, error.filename2 = str(file), None
            raise
        finally:
            part.unlink(missing_ok=True)

    def _replaces_own(self, photo: Photo) -> None:
        """Refuses to replace what is no mask of this photo, and removes pictures of an older one.

        Raises:
            FileExistsError: If the file is of somebody else.
        """
        if not os.path.lexists(photo.mask):
            return
        old = read_note(photo.mask)
        if old is None or (old and photo_of(old) != photo.identity):
            raise FileExistsError(
                f"{photo.mask} is in the way: it is not of this photo. Rename it, or choose "
                "another folder with `out`."
            )
        name = photo.mask.name.removesuffix(PHOTO_FILES["mask"])
        remove_outdated(self._job.out, name, photo.identity, photo.note, KINDS)


def _is_done(photo: Photo) -> bool:
    mask = photo.mask
    return os.path.lexists(mask) and read_note(mask) == photo.note and is_whole(mask)


def _error_of_ends(ends: int) -> str:
    return (
        f"The process of a worker ended {ends} times at this photo. The photo may need more "
        "memory than a worker has, or crash its decoder. Make it smaller, convert it or remove it."
    )


def _write_table(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
