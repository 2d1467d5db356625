"""The data pipeline beside the usual ones, and whether training ever waits for it.

Photos of the official training list to augmented batches (crop and resize, flip, colour), with
petseg, with the `tf.data` code of tutorials, and with a torch `DataLoader` of two workers. Each is
a process of its own; they take turns. Then the fastest training step, fed by the pipeline and by a
batch that is always ready.

    python benchmarks/pipeline.py --data-dir DIR --peers PEERS --out docs/results/pipeline.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import keras
from peers.pipeline_worker import cpu_seconds
from train_step import bare_encoder, prepared

import petseg
from petseg.data.oxford_pets import prepared_builder, read_records
from petseg.environment import environment
from petseg.atomic_files import write_json

WORKER = Path(__file__).parent / "peers" / "pipeline_worker.py"


def write_files(data_dir: Path, folder: Path) -> None:
    """The training photos and masks as files, for the `DataLoader`."""
    for record in read_records(prepared_builder(data_dir), "train").as_numpy_iterator():
        stem = Path(record["file_name"].decode()).stem
        (folder / f"{stem}.jpg").write_bytes(record["image"])
        (folder / f"{stem}.png").write_bytes(record["segmentation_mask"])


def delivery(size: int, batch: int, sources: dict[str, tuple[str, Path]], rounds: int) -> dict:
    """Images a second and CPU time of each pipeline, and what memory it keeps after an epoch."""
    processes, rows = {}, {}
    for kind, (python, source) in sources.items():
        processes[kind] = subprocess.Popen(
            [python, str(WORKER), kind, str(size), str(batch), str(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        rows[kind] = json.loads(processes[kind].stdout.readline())
    epochs: dict[str, list[dict]] = {kind: [] for kind in processes}
    for _ in range(rounds):
        for kind, process in processes.items():
            print(file=process.stdin, flush=True)
            epochs[kind].append(json.loads(process.stdout.readline()))
    for kind, process in processes.items():
        process.stdin.close()
        process.wait()
        done = epochs[kind]
        rows[kind] |= {
            "images_per_second": round(statistics.median(e["images"] / e["seconds"] for e in done)),
            "cpu_ms_per_image": round(
                statistics.median(1e3 * e["cpu_seconds"] / e["images"] for e in done), 2
            ),
        }
    return rows


def waiting(size: int, batch: int, data_dir: Path, rounds: int) -> dict:
    """The fastest training step, on one batch again and again and on the pipeline.

    Of the latter, the share of the time that the steps waited for a batch.
    """
    pets = petseg.load_pets(image_size=(size, size), batch_size=batch, data_dir=data_dir)
    steps = int(pets.train.cardinality()) - 1  # whole batches
    model = prepared(bare_encoder("mobilenetv2"), frozen=True)
    ready = [next(iter(pets.train))] * steps
    train(model, ready[:2])
    train(model, pets.train.take(2))
    alone, fed = [], []
    for _ in range(rounds):
        alone.append(train(model, ready))
        fed.append(train(model, pets.train.take(steps)))
    images = steps * batch
    return {
        "images_per_second": round(images / statistics.median(run["seconds"] for run in alone)),
        "cpu_ms_per_image": round(
            1e3 * statistics.median(run["cpu_seconds"] for run in alone) / images, 2
        ),
        "speed_on_the_pipeline": round(
            statistics.median(a["seconds"] / b["seconds"] for a, b in zip(alone, fed, strict=True)),
            3,
        ),
        "share_of_time_waiting": round(
            statistics.median(run["waited"] / run["seconds"] for run in fed), 4
        ),
    }


def train(model: keras.Model, batches: Iterable) -> dict[str, float]:
    """Seconds, CPU seconds and seconds of waiting for a batch, over all `batches`."""
    start, cpu_start, waited = time.perf_counter(), cpu_seconds(), 0.0
    iterator = iter(batches)
    while True:
        asked = time.perf_counter()
        found = next(iterator, None)
        waited += time.perf_counter() - asked
        if found is None:
            break
        model.train_on_batch(*found)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": cpu_seconds() - cpu_start,
        "waited": waited,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True, help="the folder of make_peers.sh")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    record = {
        "unit": "images a second and CPU milliseconds an image, median; MiB",
        "settings": {"batch_size": args.batch_size, "rounds": args.rounds},
        "environment": environment(),
        "results": {},
    }
    with tempfile.TemporaryDirectory() as files:
        write_files(args.data_dir, Path(files))
        sources = {
            "petseg": (sys.executable, args.data_dir),
            "tutorial": (sys.executable, args.data_dir),
            "tutorial, cached": (sys.executable, args.data_dir),
            "torch": (str(args.peers / "smp" / "bin" / "python"), Path(files)),
        }
        for size in (128, 224):
            rows = delivery(size, args.batch_size, sources, args.rounds)
            rows["fastest training step"] = waiting(
                size, args.batch_size, args.data_dir, args.rounds
            )
            record["results"][f"{size}x{size}"] = rows
            print(size, json.dumps(rows, indent=1))
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.out, record)


if __name__ == "__main__":
    main()
