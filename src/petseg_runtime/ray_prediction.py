"""Masks of very many photos on a Ray cluster.

The driver lists the photos and gives each one the name of its mask. Workers, one process for each
core, read photos, write masks, and write a part of the index for each batch. Photos and masks do
not pass through the driver.
"""

import os
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray
    import ray.data
except ImportError as missing:
    raise ImportError(
        'Prediction on Ray needs Ray Data. Install it with `pip install "petseg[ray]"`.'
    ) from missing

from petseg_runtime.formats import FORMATS
from petseg_runtime.output_files import FreeNames
from petseg_runtime.part_folders import part_folder
from petseg_runtime.path_text import as_text
from petseg_runtime.prediction_index import PredictionIndex
from petseg_runtime.predictor import AUTO, files_of
from petseg_runtime.pretrained import DEFAULT_ARCHITECTURE
from petseg_runtime.ray_worker import KINDS, PHOTOS, Job, Worker, identity_in_note

PARQUET_SUFFIX = ".parquet"
MOST_PHOTOS = 64  # of a batch: a second or more of work, of which Ray takes milliseconds
LEAST_BATCHES = 8  # for each worker, so that all end at about the same time


def predict_photos(
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] = DEFAULT_ARCHITECTURE,
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
    scales: Sequence[float] | str = AUTO,
) -> Path:
    """Predicts the masks of photos on the Ray cluster that this process is connected to.

    Without a connection, `ray.init()` is called. Photos, model and output folder must have the same
    paths on all machines, as on shared storage. Each mask has the name and the content that
    `petseg predict` gives it. A photo that cannot be read gets a row with its error in the index.

    Started again after a failure or with more photos, it predicts those that are missing, and those
    with an error again. A photo whose mask is in the index and in `out` is not looked at, even if
    the file has changed. Errors of photos that are no longer asked for are removed from the index.

    Args:
        photos: Photos, folders and patterns as for `petseg.predict`; or Parquet files, whose column
            `path` names the photos. Where they have a column `bytes` as well, it holds the encoded
            photos, and `path` only names them.
        out: The folder of the masks and of the index. Files that petseg did not write are kept.
        model: Name of a pretrained model, such as "unet", or the path of an ONNX file.
        image_size: (height, width) at which the model sees a photo.
        tta: Whether to average with the prediction for the mirrored photo.
        tile: Side in pixels of the tiles in which the model sees large photos.
        scales: Factors of the size at which the model sees a photo; see `petseg.predict`.

    Returns:
        The index, `index.parquet`: a row for each photo, with the columns `path`, `mask` (its name
        in `out`), `height`, `width`, `share_<class>` for each class, and `error`.

    Raises:
        FileNotFoundError: If there are no photos or there is no model.
        ValueError: If an argument is out of range, or `out` has an index with other settings.
        OSError: If a file cannot be written, for example because the disk is full.

    Example:
        >>> from petseg_runtime.ray_prediction import predict_photos
        >>> index = predict_photos("/shared/photos", "/shared/masks", model="unet")
    """
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"`out` must be a folder. Received: {out}.")
    job = Job(out, _shipped(model), "", image_size, tta, tile, scales)
    runtime = job.runtime()
    job.predictor(runtime)
    job = replace(job, digest=runtime.digest)
    paths = [photos] if isinstance(photos, str | os.PathLike) else photos
    listed = _listed(paths, runtime.info.channels)
    out.mkdir(parents=True, exist_ok=True)
    index = job.index(runtime.class_names)
    with index.in_use(), part_folder(out) as parts:
        missing = _missing(listed, _done(index), out)
        if missing:
            _run(replace(job, parts=parts), missing)
        return index.merge(set(listed["path"].to_pylist()))


def _shipped(model: str | os.PathLike[str]) -> str | Path:
    """Returns what names a model in another process: a pretrained one, or the path of a file."""
    path = Path(model)
    if path.suffix == FORMATS["onnx"].suffix:
        return path.absolute()
    if path.suffix or not isinstance(model, str):
        raise ValueError(
            "`model` must be the name of a pretrained model or an ONNX file. Received: "
            f"{os.fspath(model)!r}. Export the model with `petseg.export`."
        )
    return model


def _done(index: PredictionIndex) -> set[str]:
    table = index.read()
    return set(table["path"].filter(table["error"].is_null()).to_pylist())


def _listed(paths: Sequence[str | os.PathLike[str]], channels: int) -> pa.Table:
    """Lists the photos that were asked for, each once: a table `PHOTOS` without names."""
    files = [Path(path) for path in paths]
    parquet = [file.absolute() for file in files if file.suffix.lower() == PARQUET_SUFFIX]
    if not parquet:
        return _of_files(files_of(files, channels))
    if len(parquet) < len(files):
        raise ValueError(
            f"`photos` must hold Parquet files alone, or none. Received: {len(parquet)} of "
            f"{len(files)} paths that end in {PARQUET_SUFFIX}."
        )
    tables = [_of_parquet(file) for file in parquet]
    photos = pa.concat_tables(tables)
    names = photos["path"].to_pylist()
    if None in names:
        raise ValueError("The column `path` of Parquet files must name each photo. Received: null.")
    sources = photos["source"].null_count
    if sources == len(photos):
        return _of_files(map(Path, names))
    if sources:
        raise ValueError("All Parquet files of `photos`, or none, must have a column `bytes`.")
    if len({Path(name) for name in names}) < len(names):
        raise ValueError("The column `path` must have another name for each photo.")
    return photos


def _of_files(files: Iterable[Path]) -> pa.Table:
    each_once = {file.resolve(): file.absolute() for file in files}.values()
    rows = [{"path": as_text(file), "file": os.fsencode(file)} for file in each_once]
    return pa.Table.from_pylist(rows, schema=PHOTOS)


def _of_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        columns = file.schema_arrow.names
        if "path" not in columns:
            raise ValueError(
                f"{path} must have a column `path`, and may have a column `bytes`. Received: "
                f"{', '.join(columns)}."
            )
        source = os.fsencode(path) if "bytes" in columns else None
        rows = [
            {"path": name, "file": name and os.fsencode(name), "source": source, **place}
            for group in range(file.num_row_groups)
            for row, name in enumerate(file.read_row_group(group, ["path"])["path"].to_pylist())
            for place in ({"group": group, "row": row},)
        ]
    return pa.Table.from_pylist(rows, schema=PHOTOS)


def _missing(photos: pa.Table, done: set[str], out: Path) -> list[dict[str, Any]]:
    """Leaves out photos that are done, and gives each of the others a name."""
    # One look at the folder in place of one for each name.
    existing = {file.name for file in out.iterdir()}
    free = FreeNames(out, KINDS, lambda file: file.name in existing)
    real_out = out.resolve()
    rows = [row for row in photos.to_pylist() if row["path"] not in done]
    for row in rows:
        file = Path(os.fsdecode(row["file"]))
        try:
            row["name"] = os.fsencode(free.take(file.stem, identity_in_note(row, real_out)))
        except OSError as error:
            row["error"] = as_text(str(error))
    return rows


def _run(job: Job, photos: list[dict[str, Any]]) -> None:
    """Predicts photos on all cores of the cluster."""
    if not ray.is_initialized():
        ray.init()
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    size = max(1, min(MOST_PHOTOS, len(photos) // (LEAST_BATCHES * cores)))
    data = ray.data.from_items(photos, override_num_blocks=-(-len(photos) // size))
    reports = data.map_batches(
        Worker,
        batch_size=None,  # a batch is a block
        batch_format="pyarrow",
        fn_constructor_args=(job,),
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(cores, len(photos))),
    )
    for report in reports.iter_rows():
        if report["failure"] is not None:
            raise pickle.loads(report["failure"])
