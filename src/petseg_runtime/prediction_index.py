"""The index of many predictions: a Parquet file, and its parts until all photos are done."""

import json
import shutil
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from petseg_runtime.atomic_files import whole_file
from petseg_runtime.part_folders import only_process
from petseg_runtime.path_text import as_text

FILE = "index.parquet"
PARTS = "index.parts"
SETTINGS_KEY = b"petseg"  # in the metadata of the schema
SHARE_PREFIX = "share_"


@dataclass(frozen=True)
class PredictionIndex:
    """The index in an output folder: one row for each photo.

    Processes write parts, each of which appears completely or not at all. `merge` makes one file of
    them. The columns are `path`, `mask` (name of the mask in the folder), `height`, `width`, the
    share of each class, such as `share_background`, and `error`, null where the mask is there.

    Attributes:
        folder: The output folder.
        class_names: Name of each class.
        settings: What decides on the masks, as JSON types.
    """

    folder: Path
    class_names: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def file(self) -> Path:
        """The index of all photos."""
        return self.folder / FILE

    @property
    def parts(self) -> Path:
        """The folder of the parts."""
        return self.folder / PARTS

    @property
    def schema(self) -> pa.Schema:
        """The columns, and the settings as metadata."""
        return pa.schema(
            [
                pa.field("path", pa.string(), nullable=False),
                ("mask", pa.string()),
                ("height", pa.int32()),
                ("width", pa.int32()),
                *((f"{SHARE_PREFIX}{name}", pa.float64()) for name in self.class_names),
                ("error", pa.string()),
            ],
            metadata={SETTINGS_KEY: json.dumps(self.settings)},
        )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps other processes from predicting into the folder with an index.

        Yields:
            Nothing. The folder for parts is there.

        Raises:
            BlockingIOError: If another process does so.
            OSError: If the folder for parts cannot be made.
        """
        self.parts.mkdir(exist_ok=True)
        with only_process(self.parts):
            try:
                yield
            finally:
                with suppress(OSError):  # parts are in it, or it is gone
                    self.parts.rmdir()

    def part(self, paths: Sequence[str]) -> Path:
        """Returns the file of a part, which is the same whenever the same photos are predicted.

        Args:
            paths: The photos in it.

        Returns:
            The file.
        """
        return self.parts / f"{name_of_part(paths)}.parquet"

    def read(self) -> pa.Table:
        """Reads the rows of the index and of the parts, one for each photo.

        Returns:
            The rows, sorted by `path`. The latest row of a photo counts. Rows whose mask is no
            longer in the folder are left out.

        Raises:
            ValueError: If a file is damaged or was made with other settings.
        """
        files = [self.file] if self.file.exists() else []
        files += sorted(self.parts.glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
        table = pa.concat_tables([self.schema.empty_table(), *map(self._table, files)])
        # One look at the folder in place of one for each mask.
        masks = {None, *(as_text(file.name) for file in self.folder.iterdir())}
        rows: dict[str, int] = {}
        columns = (table[column].to_pylist() for column in ("path", "mask"))
        for row, (path, mask) in enumerate(zip(*columns, strict=True)):
            if mask in masks:
                rows[path] = row
        return table.take(pa.array([rows[path] for path in sorted(rows)], pa.int64()))

    def merge(self, photos: Set[str]) -> Path:
        """Makes one file of the index and its parts, and removes the parts.

        Args:
            photos: The photos of this job, as in `path`. Errors of others are left out, so that a
                photo that was removed is not reported again. Rows of other masks are kept.

        Returns:
            The file.

        Raises:
            ValueError: If a file is damaged or was made with other settings.
            OSError: If the index cannot be written. The parts are still there.
        """
        table = self.read()
        is_asked_for = pc.is_in(table["path"], pa.array(sorted(photos), pa.string()))
        table = table.filter(pc.or_(is_asked_for, table["error"].is_null()))
        with whole_file(self.file) as part:
            pq.write_table(table, part)
        shutil.rmtree(self.parts)
        return self.file

    def _table(self, file: Path) -> pa.Table:
        try:
            table = pq.read_table(file)
            settings = json.loads(table.schema.metadata[SETTINGS_KEY])
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{file} is no index of petseg, or is damaged: {error} Remove it to predict its "
                "photos again, or choose another folder with `out`."
            ) from error
        wanted = json.loads(json.dumps(self.settings))
        if settings != wanted or not table.schema.equals(self.schema):
            changed = [key for key in wanted if settings.get(key) != wanted[key]] or ["classes"]
            raise ValueError(
                f"{file} was made with other settings ({', '.join(changed)}). Choose another "
                f"folder with `out`, or remove {FILE} and {PARTS} in it to predict all photos "
                "again."
            )
        return table


def name_of_part(paths: Sequence[str]) -> str:
    """Names a batch of photos, by the same name whenever it is predicted.

    Args:
        paths: The photos in it.

    Returns:
        Letters and digits.
    """
    return sha256(json.dumps(paths).encode()).hexdigest()[:32]
