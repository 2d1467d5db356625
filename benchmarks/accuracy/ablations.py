"""What the choices inside each architecture give and cost: one row a variant.

Trains each for two epochs on a frozen encoder, at 128 x 128 on Oxford-IIIT Pet, and scores it on
the validation part of the training list; the test split stays untouched. A row that is in the JSON
already is not trained again, so the script can be stopped and gone on with. Then times the frozen
training step of all of them, in turn, in one run.

    python benchmarks/variants.py --data-dir DIR --out docs/results/variants.json
"""

import argparse
import dataclasses
import json
import statistics
from pathlib import Path

import keras
from train_step import bare_encoder, measure

import petseg
from petseg.environment import environment
from petseg.atomic_files import write_json

BARE = "bare encoder"

# MobileNetV2 with its last stage in the place of the one before, as the papers of PSPNet and
# DeepLab have it.
LAST_STAGE = "mobilenetv2_last_stage"

# The first row of each architecture is its default.
VARIANTS = {
    "unet": [
        {},
        {"decoder_filters": (192, 128, 96)},
        {"decoder_filters": (128, 96, 64)},
        {"decoder_filters": (96, 64, 64)},
        {"decoder_filters": (96, 64, 48, 32)},
    ],
    "fcn8": [{}, {"decoder_filters": 128}],
    "fcn16": [{}],
    "fcn32": [{}],
    "segnet": [{}, {"output_stride": 2}, {"output_stride": 8}],
    "pspnet": [{}, {"output_stride": 16}, {"backbone": LAST_STAGE}],
    "deeplabv3": [{}, {"output_stride": 8}],
    "deeplabv3_plus": [{}, {"decoder_filters": 64}],
}


def add_last_stage() -> None:
    row = petseg.BACKBONES["mobilenetv2"]
    taps = (*row.taps[:3], row.taps[4], row.taps[4])
    petseg.BACKBONES[LAST_STAGE] = dataclasses.replace(row, taps=taps)


def label(model: str, arguments: dict) -> str:
    """The call that makes a variant, as one would type it."""
    return f"{model}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


def train(model: str, arguments: dict, data_dir: Path, seed: int) -> dict:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(image_size=(128, 128), batch_size=16, data_dir=data_dir, seed=seed)
    network = petseg.MODELS[model](class_names=pets.class_names, **arguments)
    network.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=petseg.CrossEntropyDice(),
        metrics=[petseg.MeanIoU(3, pets.class_names)],
        jit_compile=False,
    )
    petseg.finetune(network, pets.train, pets.val, frozen_epochs=2, epochs=0)
    scores = petseg.evaluate(network, pets.val)
    return {
        "parameters": network.count_params(),
        "mean_iou": round(scores.mean_iou, 4),
        "class_iou": {name: round(iou, 4) for name, iou in scores.class_iou.items()},
        "pixel_accuracy": round(scores.pixel_accuracy, 4),
    }


def add_speeds(record: dict, rounds: int) -> None:
    """The frozen step of each row, beside the bare encoder's of output stride 32."""
    keras.utils.clear_session()
    models = {BARE: bare_encoder("mobilenetv2")}
    for model, rows in VARIANTS.items():
        for arguments in rows:
            if label(model, arguments) in record["rows"]:
                network = petseg.MODELS[model](weights=None, **arguments)
                models[label(model, arguments)] = network
    speeds = measure(models, 128, batch_size=16, steps=8, rounds=rounds, tasks=("frozen",))
    bare = speeds.pop(BARE)["frozen"]
    record["bare_encoder_images_per_second"] = round(statistics.median(bare), 1)
    for name, tasks in speeds.items():
        ratios = [value / one for value, one in zip(tasks["frozen"], bare, strict=True)]
        record["rows"][name]["frozen_step_speed"] = round(statistics.median(ratios), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--models", nargs="*", default=list(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5, help="of the timing")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    add_last_stage()
    record = {"rows": {}}
    if args.out.exists():
        record = json.loads(args.out.read_text(encoding="utf-8"))
    record["settings"] = {
        "image_size": [128, 128],
        "epochs": "two, the encoder frozen",
        "split": "validation",
        "batch_size": 16,
        "frozen_step_speed": "images a second, as a share of the bare encoder's",
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
        print(name, record["rows"][name], flush=True)
    add_speeds(record, args.rounds)
    write_json(args.out, record)


if __name__ == "__main__":
    main()
