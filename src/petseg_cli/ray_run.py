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

LOCAL, AUTO = "local", "auto"
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
        address: What `check_address` accepts.
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


def check_address(address: str) -> None:
    """Refuses what is no address of a cluster, before anything is opened.

    Args:
        address: "local" for a cluster of this machine alone, "auto" for one that runs on it, or
            HOST:PORT.

    Raises:
        typer.BadParameter: If it is none of these.
    """
    host, _, port = address.rpartition(":")
    is_place = bool(host) and port.isdecimal() and 0 < int(port) < 2**16
    if address not in (LOCAL, AUTO) and (not is_place or "://" in address):
        raise typer.BadParameter(
            "It must be local, auto or HOST:PORT, the address that `ray start --head` prints, "
            f"without ray://. Received: {printable(address)}.",
            param_hint="--ray",
        )


def _connect(address: str) -> None:
    import ray
    import ray.data

    _quiet()
    try:
        if address not in (LOCAL, AUTO):  # Ray itself tries for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_CONNECT).close()
        # What workers print is in Ray's logs. An error comes back as one.
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (RuntimeError, ValueError, OSError) as error:
        if address == AUTO and isinstance(error, ConnectionError):
            raise ConnectionError(
                "--ray auto must find one Ray cluster on this machine. Received: none, or several. "
                "Start one with `ray start --head`, pass its HOST:PORT, or use --ray local."
            ) from error
        raise ConnectionError(
            f"--ray must be the address of a Ray cluster. Received: {address}, which failed: "
            f"{str(error).rstrip('.')}. Pass the HOST:PORT that `ray start --head` prints, or use "
            "--ray local."
        ) from error
    context = ray.data.DataContext.get_current()
    context.print_on_execution_start = False
    context.enable_progress_bars = sys.stderr.isatty()


def _quiet() -> None:
    """Leaves out what Ray says in every job."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # no progress bars
    # That it is disabled is worth a warning.
    logging.getLogger("ray._private.authentication.authentication_token_setup").addFilter(
        lambda record: "authentication is enabled" not in record.getMessage()
    )


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
