r"""Data pipelines: petseg's beside the usual ones, and whether training waits for it.

Photos of the official training list become augmented batches (crop and resize, flip, colour) with
petseg, with the `tf.data` code of tutorials, and with a torch `DataLoader` of two workers; with
petseg also with strong augmentation. Each is a process of its own; they take turns. Then the
fastest training step is fed by petseg's pipeline, and by a batch that is always ready. Image sizes
that are in the JSON already are not measured again.

    bash benchmarks/speed/make_peers.sh PEERS
    python -m benchmarks.speed.pipeline --data-dir DIR --peers PEERS \
        --out docs/results/pipeline.json
"""

import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

import petseg
from benchmarks.common import Record, Worker, argument_parser, median
from benchmarks.speed.peers.pipeline_worker import cpu_seconds
from benchmarks.speed.train_step import bare_encoder, prepared
from petseg.data.oxford_pets import prepared_builder, read_records

WORKER = Path(__file__).parent / "peers" / "pipeline_worker.py"
SIZES = (128, 224)


def write_files(data_dir: Path, folder: Path) -> None:
    """Writes the training photos and masks as files, for the `DataLoader`.

    Args:
        data_dir: Folder of tensorflow_datasets.
        folder: Folder to write to.
    """
    for record in read_records(prepared_builder(data_dir), "train").as_numpy_iterator():
        stem = Path(record["file_name"].decode()).stem
        (folder / f"{stem}.jpg").write_bytes(record["image"])
        (folder / f"{stem}.png").write_bytes(record["segmentation_mask"])


def deliver(
    size: int, batch: int, sources: dict[str, tuple[str | Path, Path]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Measures each pipeline over whole epochs.

    Args:
        size: Height and width of the images.
        batch: Batch size.
        sources: The Python and the data of each pipeline.
        rounds: Number of rounds.

    Returns:
        Images per second, CPU time per image, and memory in use after an epoch.
    """
    workers = {
        kind: Worker(python, WORKER, kind, str(size), str(batch), source)
        for kind, (python, source) in sources.items()
    }
    epochs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in workers}
    for _ in range(rounds):
        for kind, worker in workers.items():
            epochs[kind].append(worker.ask())
    rows = {}
    for kind, worker in workers.items():
        worker.stop()
        done = epochs[kind]
        rows[kind] = {
            **worker.about,
            "images_per_second": round(median((e["images"] / e["seconds"] for e in done), 0)),
            "cpu_ms_per_image": median((1e3 * e["cpu_seconds"] / e["images"] for e in done), 2),
        }
    return rows


def fastest_step(size: int, batch: int, data_dir: Path, rounds: int) -> dict[str, Any]:
    """Measures the fastest training step on one batch again and again, and on the pipeline.

    Args:
        size: Height and width of the images.
        batch: Batch size.
        data_dir: Folder of tensorflow_datasets.
        rounds: Number of rounds.

    Returns:
        Images per second, CPU time per image, the speed on the pipeline relative to that on one
        batch, and the share of time that the steps wait for the pipeline.
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
    pairs = list(zip(alone, fed, strict=True))
    return {
        "images_per_second": round(median((images / run["seconds"] for run in alone), 0)),
        "cpu_ms_per_image": median((1e3 * run["cpu_seconds"] / images for run in alone), 2),
        "speed_on_the_pipeline": median((a["seconds"] / b["seconds"] for a, b in pairs), 3),
        "share_of_time_waiting": median((run["waited"] / run["seconds"] for run in fed), 4),
    }


def train(model: keras.Model, batches: Iterable[Any]) -> dict[str, float]:
    """Trains on batches and measures the time.

    Args:
        model: The compiled model.
        batches: Images and masks.

    Returns:
        Seconds, CPU seconds, and seconds of waiting for a batch.
    """
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
    """Measures the image sizes that are missing."""
    parser = argument_parser(__doc__, data_dir="required", peers=True, rounds=3)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    record = Record(
        args.out,
        {"batch_size": args.batch_size, "rounds": args.rounds, "seed": args.seed},
        rows="results",
        unit="images a second and CPU milliseconds an image, median; MiB",
    )
    sizes = {f"{size}x{size}": size for size in SIZES}
    with tempfile.TemporaryDirectory() as files:
        write_files(args.data_dir, Path(files))
        sources: dict[str, tuple[str | Path, Path]] = {
            "petseg": (sys.executable, args.data_dir),
            "petseg, strong": (sys.executable, args.data_dir),
            "tutorial": (sys.executable, args.data_dir),
            "tutorial, cached": (sys.executable, args.data_dir),
            "torch": (args.peers / "smp" / "bin" / "python", Path(files)),
        }
        for name in record.missing(sizes):
            rows = deliver(sizes[name], args.batch_size, sources, args.rounds)
            rows["fastest training step"] = fastest_step(
                sizes[name], args.batch_size, args.data_dir, args.rounds
            )
            record.add(name, rows)


if __name__ == "__main__":
    main()
