"""What the choices inside each architecture give: one row a variant.

Trains each for two epochs on a frozen encoder, at 128 x 128 on Oxford-IIIT Pet, and scores it on
the validation part of the training list; the test split stays untouched. A row that is in the JSON
already is not trained again, so the script can be stopped and gone on with.

    python benchmarks/variants.py --data-dir DIR --out docs/results/variants.json
"""

import argparse
import json
import time
from pathlib import Path

import keras

import petseg
from petseg.environment import environment
from petseg.files import write_json

# The first row of each architecture is its default.
VARIANTS = {
    "unet": [
        {},
        {"decoder_filters": (192, 128, 96)},
        {"decoder_filters": (96, 64, 64)},
        {"decoder_filters": (96, 64, 48, 32)},
    ],
    "fcn8": [{}, {"decoder_filters": 128}, {"decoder_filters": 512}],
    "fcn16": [{}],
    "fcn32": [{}],
    "segnet": [{}, {"output_stride": 2}, {"output_stride": 8}],
    "pspnet": [{}, {"output_stride": 32}, {"output_stride": 8}, {"decoder_filters": 256}],
    "deeplabv3": [{}, {"output_stride": 32}, {"output_stride": 8}, {"decoder_filters": 256}],
    "deeplabv3_plus": [{}, {"output_stride": 32}, {"decoder_filters": 64}],
}


def label(model: str, arguments: dict) -> str:
    """The call that makes a variant, as one would type it."""
    return f"{model}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


def train(model: str, arguments: dict, data_dir: Path, seed: int) -> dict:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(image_size=(128, 128), data_dir=data_dir, seed=seed)
    network = petseg.MODELS[model](class_names=pets.class_names, **arguments)
    network.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=petseg.CrossEntropyDice(),
        metrics=[petseg.MeanIoU(3, pets.class_names)],
        jit_compile=False,
    )
    start = time.perf_counter()
    petseg.finetune(network, pets.train, pets.val, frozen_epochs=2, epochs=0)
    seconds = time.perf_counter() - start
    scores = petseg.evaluate(network, pets.val)
    return {
        "model": model,
        "arguments": arguments,
        "parameters": network.count_params(),
        "mean_iou": round(scores.mean_iou, 4),
        "class_iou": {name: round(iou, 4) for name, iou in scores.class_iou.items()},
        "pixel_accuracy": round(scores.pixel_accuracy, 4),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--models", nargs="*", default=list(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    record = {"rows": {}}
    if args.out.exists():
        record = json.loads(args.out.read_text(encoding="utf-8"))
    record["settings"] = {
        "image_size": [128, 128],
        "epochs": "two, the encoder frozen",
        "split": "validation",
        "seed": args.seed,
    }
    record["environment"] = environment()
    rows = [(model, arguments) for model in args.models for arguments in VARIANTS[model]]
    rows.sort(key=lambda row: bool(row[1]))  # the defaults first
    for model, arguments in rows:
        name = label(model, arguments)
        if name in record["rows"]:
            continue
        record["rows"][name] = train(model, arguments, args.data_dir, args.seed)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, record)
        print(name, record["rows"][name])


if __name__ == "__main__":
    main()
