"""How prediction scales to many cores, simulated from the rates that one machine reached.

Each worker predicts batches of photos in turn: it reads them from storage, computes, writes the
masks, and the driver notes the batch. Cores work in parallel; storage and driver serve one after
the other. The rates and sizes are those of docs/results/ray.json. What was not measured is assumed:
`ASSUMPTIONS`, which the JSON repeats.

    python -m benchmarks.speed.scale_simulation --out docs/results/scale.json
"""

import heapq
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.common import RESULTS, Record, argument_parser

BATCHES_OF_A_WORKER = 40
BUSY = 0.95  # share of the time from which on a part counts as saturated
JOBS = {"1 million photos in an hour": (1e6, 1), "1 billion photos in a week": (1e9, 168)}


@dataclass(frozen=True)
class Assumptions:
    """What was not measured.

    Attributes:
        cores_of_a_machine: Cores of a machine.
        photos_of_a_batch: Photos of a batch, as `petseg predict --ray` has them.
        storage_megabytes_per_second: Rate of the storage that all machines share: 10 Gbit/s.
        storage_operations_per_second: Files that the storage opens, makes or renames a second.
        operations_of_a_photo: One file is opened; one is made and renamed.
        driver_seconds_of_a_batch: Time in which the driver hands out a batch and takes the result.
        dollars_of_a_core_hour: Price of a core in a cloud.
        dollars_of_a_gigabyte_month: Price of object storage.
    """

    cores_of_a_machine: int = 16
    photos_of_a_batch: int = 64
    storage_megabytes_per_second: float = 1250
    storage_operations_per_second: float = 20_000
    operations_of_a_photo: int = 3
    driver_seconds_of_a_batch: float = 0.005
    dollars_of_a_core_hour: float = 0.04
    dollars_of_a_gigabyte_month: float = 0.023


ASSUMPTIONS = Assumptions()
# Photos in Parquet files are read in row groups: only the masks are files of their own.
DESIGNS = {
    "files on shared storage": ASSUMPTIONS,
    "photos in Parquet files": Assumptions(operations_of_a_photo=2),
    "storage of four times the rate": Assumptions(
        storage_megabytes_per_second=5000, storage_operations_per_second=80_000
    ),
}


def simulate(
    workers: int, assumed: Assumptions, rate: float, read: float, written: float
) -> tuple[float, dict[str, float]]:
    """Simulates a job.

    Args:
        workers: Number of workers, of one core each.
        assumed: What was not measured.
        rate: Photos per second of one core.
        read: Megabytes read for a photo.
        written: Megabytes written for a photo.

    Returns:
        Photos per second, and the share of the time in which storage and driver are busy.
    """
    photos = assumed.photos_of_a_batch
    operations = photos / assumed.storage_operations_per_second
    megabytes = photos / assumed.storage_megabytes_per_second
    opened = assumed.operations_of_a_photo - 2
    steps = [  # where, and for how many seconds
        ("storage", read * megabytes + opened * operations),
        ("core", photos / rate),
        ("storage", written * megabytes + 2 * operations),
        ("driver", assumed.driver_seconds_of_a_batch),
    ]
    free = {"storage": 0.0, "driver": 0.0}
    busy = dict.fromkeys(free, 0.0)
    # When each worker is ready for its next step. The starts are spread over one batch.
    waiting = [(number / workers * photos / rate, number, 0) for number in range(workers)]
    heapq.heapify(waiting)
    done, end = 0, 0.0
    while done < BATCHES_OF_A_WORKER * workers:
        now, number, step = heapq.heappop(waiting)
        place, seconds = steps[step]
        begin = max(now, free.get(place, 0.0))
        end = begin + seconds
        if place in free:
            free[place] = end
            busy[place] += seconds
        done += step == len(steps) - 1
        heapq.heappush(waiting, (end, number, (step + 1) % len(steps)))
    return done * photos / end, {place: min(1.0, time / end) for place, time in busy.items()}


def saturation(assumed: Assumptions, *measured: float) -> dict[str, Any]:
    """Doubles the workers until storage or driver is busy all the time.

    Args:
        assumed: What was not measured.
        *measured: The other arguments of `simulate`.

    Returns:
        The number of cores, what is saturated, and photos per second.
    """
    cores = 1
    while True:
        rate, busy = simulate(cores, assumed, *measured)
        place = max(busy, key=lambda name: busy[name])
        if busy[place] >= BUSY:
            return {"cores": cores, "saturated": place, "photos_per_second": round(rate)}
        cores *= 2


def job(photos: float, hours: float, rate: float, written: float) -> dict[str, Any]:
    """Computes what a job needs where nothing but the cores limits it.

    Args:
        photos: Number of photos.
        hours: The time in which they are to be predicted.
        rate: Photos per second of one core.
        written: Megabytes written for a photo.

    Returns:
        Photos per second, cores, machines, core hours, their price, and size and price of the
        masks.
    """
    core_hours = photos / rate / 3600
    gigabytes = photos * written / 1e3
    cores = math.ceil(core_hours / hours)
    return {
        "photos_per_second": round(photos / hours / 3600),
        "cores": cores,
        "machines": math.ceil(cores / ASSUMPTIONS.cores_of_a_machine),
        "core_hours": round(core_hours),
        "dollars": round(core_hours * ASSUMPTIONS.dollars_of_a_core_hour, 2),
        "gigabytes_of_masks": round(gigabytes, 1),
        "dollars_of_masks_a_month": round(gigabytes * ASSUMPTIONS.dollars_of_a_gigabyte_month, 2),
    }


def main() -> None:
    """Simulates the designs and computes the jobs."""
    args = argument_parser(__doc__, seed=False).parse_args()
    measured = json.loads((RESULTS / "ray.json").read_text(encoding="utf-8"))["results"]
    rate = measured["Ray, two workers of one core"]["photos_per_second"] / 2
    sizes = measured["a worker is killed"]
    read, written = (sizes[f"kilobytes_of_a_{file}"] / 1e3 for file in ("photo", "mask"))
    settings = {"assumptions": asdict(ASSUMPTIONS), "photos_per_second_of_a_core": rate}
    record = Record(args.out, settings, resume=False)
    for name, assumed in DESIGNS.items():
        record.add(name, saturation(assumed, rate, read, written))
    for name, (photos, hours) in JOBS.items():
        record.add(name, job(photos, hours, rate, written))


if __name__ == "__main__":
    main()
