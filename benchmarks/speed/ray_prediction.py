"""Prediction on a Ray cluster of two nodes with one core each, made by Ray's own test tool.

The first part predicts photos while one worker is killed, and counts the results. The second part
compares the rate of two workers with that of the runtime in one process, as `petseg predict` runs
it on both cores; they take turns. A rate is counted from the first mask to the last one, without
the start of processes. "seconds" is the whole time of a job on a cluster that is running.

    python -m benchmarks.speed.ray_prediction --out docs/results/ray.json
"""

import functools
import logging
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.common import Record, argument_parser, median, median_ratio, take_turns
from benchmarks.speed.predict_command import PETSEG, SAMPLES

SIZE = (320, 240)
NODES = 2
SECONDS_OF_SAMPLING = 0.2


def write_photos(folder: Path, count: int, seed: int) -> Path:
    """Writes JPEG photos, parts of the samples.

    Args:
        folder: The new folder.
        count: Number of photos.
        seed: Seed of the parts.

    Returns:
        The folder.
    """
    folder.mkdir()
    rng = np.random.default_rng(seed)
    samples = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    for number, sample in zip(range(count), cycle(samples)):
        scale = rng.uniform(0.6, 1)
        width, height = (round(scale * side) for side in sample.size)
        left = int(rng.integers(0, sample.width - width + 1))
        top = int(rng.integers(0, sample.height - height + 1))
        part = sample.crop((left, top, left + width, top + height)).resize(SIZE)
        part.save(folder / f"{number:06}.jpg", quality=90)
    return folder


@contextmanager
def cluster() -> Iterator[Any]:
    """Starts the nodes, and connects this process.

    Yields:
        The cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data
    from ray.cluster_utils import Cluster

    nodes = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(NODES - 1):
            nodes.add_node(num_cpus=1)
        ray.init(nodes.address, log_to_driver=False, logging_level=logging.WARNING)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def workers(nodes: Any) -> list[int]:
    """Lists the processes that predict.

    Args:
        nodes: The cluster.

    Returns:
        Their ids.
    """
    found: list[int] = []
    for node in nodes.list_all_nodes():
        raylet = node.all_processes["raylet"][0].process.pid
        for task in Path(f"/proc/{raylet}/task").iterdir():
            for child in (task / "children").read_text(encoding="utf-8").split():
                words = Path(f"/proc/{child}/cmdline")
                if words.exists() and b"MapWorker" in words.read_bytes():
                    found.append(int(child))
    return found


def wait_for_parts(out: Path, count: int, seconds: float = 300) -> None:
    """Waits until a job has written parts of its index.

    Args:
        out: The output folder of the job.
        count: Number of parts.
        seconds: The longest time.

    Raises:
        TimeoutError: If the parts are not there in time.
    """
    deadline = time.monotonic() + seconds
    while len(list((out / "index.parts").glob("*.parquet"))) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{out} has fewer than {count} parts after {seconds} s.")
        time.sleep(0.005)


def with_a_kill(nodes: Any, photos: Path, out: Path) -> dict[str, Any]:
    """Predicts all photos while one worker is killed, after a few batches.

    Args:
        nodes: The cluster.
        photos: Folder of photos.
        out: The new output folder.

    Returns:
        What was counted.
    """
    from petseg_runtime.ray_prediction import predict_photos

    killed: list[int] = []

    def kill() -> None:
        wait_for_parts(out, 4)
        killed.append(workers(nodes)[0])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    start = time.monotonic()
    table = pq.read_table(predict_photos(photos, out))
    seconds = time.monotonic() - start
    thread.join()
    paths = table["path"].to_pylist()
    counts = Counter(paths)
    wanted = {str(path) for path in photos.iterdir()}
    return {
        "photos": len(wanted),
        "nodes": len(nodes.list_all_nodes()),
        "killed_workers": len(killed),
        "rows": len(paths),
        "photos_with_one_row": sum(count == 1 for path, count in counts.items() if path in wanted),
        "errors": len(paths) - table["error"].null_count,
        "masks": len(list(out.glob("*_mask.png"))),
        "other_files": len([file for file in out.iterdir() if not is_result(file)]),
        "seconds": round(seconds, 1),
        "kilobytes_of_a_photo": kilobytes(photos.glob("*.jpg")),
        "kilobytes_of_a_mask": kilobytes(out.glob("*_mask.png")),
    }


def kilobytes(files: Iterable[Path]) -> float:
    """Computes the mean size of files.

    Args:
        files: The files.

    Returns:
        Kilobytes.
    """
    return round(statistics.mean(file.stat().st_size for file in files) / 1e3, 2)


def is_result(file: Path) -> bool:
    """Tells the results in an output folder from what should not be left there.

    Args:
        file: A file or folder in it.

    Returns:
        Whether it is a mask or the index.
    """
    return file.name.endswith("_mask.png") or file.name == "index.parquet"


def rate(out: Path) -> float:
    """Computes photos per second from the first mask to the last one.

    Args:
        out: An output folder.

    Returns:
        The rate.
    """
    times = [file.stat().st_mtime for file in out.glob("*_mask.png")]
    return (len(times) - 1) / (max(times) - min(times))


def with_the_command(folder: Path, photos: Path) -> tuple[float, float, float]:
    """Runs `petseg predict` in one process.

    Args:
        folder: A temporary folder.
        photos: Folder of photos.

    Returns:
        Photos per second, seconds, and the most megabytes of the process.
    """
    out = folder / "command"
    shutil.rmtree(out, ignore_errors=True)
    words = [PETSEG, "predict", str(photos), "--out", str(out), "--no-overlay", "--scales", "1"]
    start = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    with sampled(lambda: [process.pid]) as peaks:
        status = process.wait()
    if status:
        raise SystemExit(f"{words} failed.")
    return rate(out), time.monotonic() - start, max(peaks)


def with_ray(nodes: Any, folder: Path, photos: Path) -> tuple[float, float, float]:
    """Predicts on the cluster.

    Args:
        nodes: The cluster.
        folder: A temporary folder.
        photos: Folder of photos.

    Returns:
        Photos per second, seconds, and the most megabytes of a worker.
    """
    from petseg_runtime.ray_prediction import predict_photos

    out = folder / "ray"
    shutil.rmtree(out, ignore_errors=True)
    start = time.monotonic()
    with sampled(lambda: workers(nodes)) as peaks:
        predict_photos(photos, out, scales=(1.0,))
    return rate(out), time.monotonic() - start, max(peaks)


@contextmanager
def sampled(pids: Callable[[], list[int]]) -> Iterator[list[float]]:
    """Samples the memory of processes while the block runs.

    Args:
        pids: Lists the processes.

    Yields:
        The most megabytes of each, again and again.
    """
    peaks = [0.0]
    is_done = threading.Event()

    def sample() -> None:
        while not is_done.wait(SECONDS_OF_SAMPLING):
            peaks.extend(peak_megabytes(pid) for pid in pids())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        is_done.set()
        thread.join()


def peak_megabytes(pid: int) -> float:
    """Reads the most memory that a process has held.

    Args:
        pid: Its id.

    Returns:
        Megabytes; 0 where it has ended.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 / 1e6 if peaks else 0


def main() -> None:
    """Measures both parts."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--photos", type=int, default=2000, help="photos of both parts")
    args = parser.parse_args()
    record = Record(
        args.out,
        {"rounds": args.rounds, "photos": args.photos, "seed": args.seed, "size": SIZE},
        rows="results",
        resume=False,
        unit="medians over the rounds",
    )
    with tempfile.TemporaryDirectory() as name, cluster() as nodes:
        folder = Path(name)
        photos = write_photos(folder / "photos", args.photos, args.seed)
        record.add("a worker is killed", with_a_kill(nodes, photos, folder / "killed"))
        base = "petseg predict, one process on two cores"
        found = take_turns(
            {
                base: functools.partial(with_the_command, folder, photos),
                "Ray, two workers of one core": functools.partial(with_ray, nodes, folder, photos),
            },
            args.rounds,
        )
        rates = {title: [value[0] for value in values] for title, values in found.items()}
        for title, values in found.items():
            row = {
                "photos_per_second": median(rates[title], 1),
                "of_the_runtime": median_ratio(rates[title], rates[base]),
                "seconds": median((seconds for _, seconds, _ in values), 1),
                "megabytes_of_a_process": median((peak for _, _, peak in values), 0),
            }
            record.add(title, row)


if __name__ == "__main__":
    main()
