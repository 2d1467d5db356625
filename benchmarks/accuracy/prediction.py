"""What flips and tiles do to the masks of real photos, and what many predictions leave in memory.

    python benchmarks/prediction.py --data-dir DIR --out docs/results/prediction.json

Masks are compared with the labels at each photo's own size, on the validation split.
"""

import argparse
import itertools
import time
from pathlib import Path

import keras
import numpy as np
import psutil
from PIL import Image

import petseg
from petseg.data import pet_examples
from petseg.environment import environment
from petseg.atomic_files import write_json
from petseg.pretrained import read_card

PREDICTIONS = 10_000
SETTLED = 500  # predictions after which nothing should be added any more


def ways(trained: tuple[int, int]) -> list[dict]:
    """What is given to `petseg.predict`."""
    shown = [{"image_size": trained}, {}, {"tile": trained[0]}]
    return [options | flips for options in shown for flips in ({}, {"tta": True})]


def call(options: dict) -> str:
    """The options as one would type them."""
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "the defaults"


def score(model: keras.Model, photos: list, options: dict) -> dict:
    """Mean IoU over all pixels of the photos, and the time of one."""
    classes = len(petseg.PET_CLASSES)
    metric = petseg.MeanIoU(classes)
    petseg.predict(model, photos[0][0], **options)  # compiles
    begun = time.perf_counter()
    masks = [petseg.predict(model, photo, **options) for photo, _ in photos]
    seconds = time.perf_counter() - begun
    for mask, (_, truth) in zip(masks, photos, strict=True):
        metric.update_state(truth, np.eye(classes, dtype="float32")[mask])
    result = metric.result()
    return {
        "mean_iou": round(float(result["mean_iou"]), 4),
        "milliseconds": round(1e3 * seconds / len(photos), 1),
    }


def growth(model: keras.Model, photos: list, image_size: tuple[int, int], folder: Path) -> dict:
    """MiB that the process grows by while it predicts many files."""
    paths = []
    for index, (photo, _) in enumerate(photos):
        paths.append(folder / f"{index}.png")
        Image.fromarray(photo).save(paths[-1])
    memory, process = {}, psutil.Process()
    endless = itertools.islice(itertools.cycle(paths), PREDICTIONS)
    results = petseg.predict(model, list(endless), image_size=image_size)
    for count, _ in enumerate(results, start=1):
        if count in (SETTLED, PREDICTIONS):
            memory[count] = process.memory_info().rss / 2**20
    return {
        "predictions": PREDICTIONS,
        "mib_after": {str(count): round(mib) for count, mib in memory.items()},
        "grown_by_mib": round(memory[PREDICTIONS] - memory[SETTLED], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--model", default="unet", help="one that comes with petseg")
    parser.add_argument("--work", type=Path, required=True, help="a folder for some photos")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    card = read_card(args.model)
    trained = tuple(card["image_size"])
    model = petseg.MODELS[args.model](backbone=card["backbone"], weights="pets")
    examples = pet_examples(args.data_dir)["val"].as_numpy_iterator()
    photos = [(example["image"], example["mask"][..., 0]) for example in examples]
    scores = {}
    for options in ways(trained):
        scores[call(options)] = score(model, photos, options)
        print(call(options), scores[call(options)], flush=True)
    args.work.mkdir(parents=True, exist_ok=True)
    record = {
        "settings": {"model": args.model, "split": "val", "trained_at": trained},
        "environment": environment(),
        "photos": len(photos),
        "ways": scores,
        "memory": growth(model, photos, trained, args.work),
    }
    print(record["memory"])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, record)


if __name__ == "__main__":
    main()
