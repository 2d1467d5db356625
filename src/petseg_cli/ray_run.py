"""`petseg predict --ray`: masks of very many photos on a Ray cluster."""

import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from petseg_cli.streams import printable, warn

MOST_ERRORS = 10  # that are shown; the index has all
SECONDS_TO_CONNECT = 10


def predict_on_ray(
    photos: list[Path],
    out: Path,
    model: Path | str,
    address: str,
    image_size: tuple[int, int] | None,
    tta: bool,
    tile: int | None,
    scales: Sequence[float] | str,
) -> bool:
    """Predicts photos on a cluster, and says what has failed.

    Args:
        photos: Photos, or Parquet files that name or hold photos.
        out: The folder to write to.
        model: What `find_model` returned.
        address: "local" for a cluster of this machine alone, or what `ray.init` takes.
        image_size: (height, width) at which the model sees a photo, or None.
        tta: Whether to average with the mirrored photo.
        tile: Side of the tiles in pixels, or None.
        scales: Factors of the size at which the model sees a photo, or "auto".

    Returns:
        Whether a photo failed.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If there is no such cluster.
        ValueError: If an argument does not fit.
        OSError: If a file cannot be written.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    # It needs packages that petseg does not: what is missing is said here.
    from petseg_runtime.ray_prediction import predict_photos

    _connect(address)
    index = predict_photos(
        photos, out, model, image_size=image_size, tta=tta, tile=tile, scales=scales
    )
    return _report(index)


def _connect(address: str) -> None:
    import ray
    import ray.data

    try:
        host, colon, port = address.rpartition(":")
        if colon and "://" not in address:  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
        # What workers print is in Ray's logs. An error comes back as one.
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (RuntimeError, ValueError, OSError) as error:
        raise ConnectionError(f"There is no Ray cluster at {address}: {error}") from error
    context = ray.data.DataContext.get_current()
    context.print_on_execution_start = False
    context.enable_progress_bars = sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.WARNING)


def _report(index: Path) -> bool:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table: Any = pq.read_table(index, columns=["path", "error"])
    failed = table.filter(pc.is_valid(table["error"]))
    for row in failed.slice(0, MOST_ERRORS).to_pylist():
        error = " ".join(row["error"].split())
        warn(error if row["path"] in error else f"{row['path']}: {error}")
    if len(failed) > MOST_ERRORS:
        warn(f"{len(failed) - MOST_ERRORS} more photos have an error in the index.")
    typer.echo(f"{printable(index)}: {len(table) - len(failed)} masks, {len(failed)} errors")
    return len(failed) > 0
