"""Variants of each architecture: what an argument changes in scores and training speed.

Trains each variant for two epochs with the encoder frozen, at 128 x 128 on Oxford-IIIT Pet, and
evaluates it on the validation split. The test split is not used. Rows that are in the JSON already
are not trained again. Then the training step of all variants is timed in turns in one run, beside
a model without a decoder.

    python -m benchmarks.accuracy.ablations --data-dir DIR --out docs/results/ablations.json
"""

import dataclasses
from pathlib import Path
from typing import Any

import keras

import petseg
from benchmarks.common import Record, argument_parser, median, median_ratio
from benchmarks.speed.train_step import bare_encoder, measure

SIZE = (128, 128)
BATCH_SIZE = 16
BACKBONE = "mobilenetv2"
BARE = "bare encoder"

# MobileNetV2 with its last stage in the place of the one before, as in the papers of PSPNet and
# DeepLab.
LAST_STAGE = "mobilenetv2_last_stage"
# MobileNetV2 up to stride 8, as segmentation_models_pytorch uses it in PSPNet.
STRIDE_8 = "mobilenetv2_stride_8"

# The first row of each architecture is its default.
VARIANTS: dict[str, list[dict[str, Any]]] = {
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
    "pspnet": [{}, {"output_stride": 16}, {"backbone": LAST_STAGE}, {"backbone": STRIDE_8}],
    "deeplabv3": [{}, {"output_stride": 8}],
    "deeplabv3_plus": [{}, {"decoder_filters": 64}],
    "fpn": [{}, {"pyramid_filters": 128, "decoder_filters": 128}, {"pyramid_filters": 64}],
    "linknet": [{}, {"decoder_steps": 4}, {"reduction": 8}],
    "lraspp": [{}, {"output_stride": 8}],
}


def add_backbones() -> None:
    """Adds the backbones `LAST_STAGE` and `STRIDE_8` to `petseg.BACKBONES`."""
    row = petseg.BACKBONES[BACKBONE]
    assert row.taps is not None
    for name, stage in ((LAST_STAGE, 4), (STRIDE_8, 2)):
        taps = (*row.taps[:3], row.taps[stage], row.taps[4])
        petseg.BACKBONES[name] = dataclasses.replace(row, name=name, taps=taps)


def variants(architectures: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Lists the variants, the defaults first.

    Args:
        architectures: Keys of `VARIANTS`.

    Returns:
        The architecture and the arguments of each variant, by the call as one would type it.
    """
    rows = [(name, arguments) for name in architectures for arguments in VARIANTS[name]]
    rows.sort(key=lambda row: bool(row[1]))
    return {
        f"{name}({', '.join(f'{key}={value}' for key, value in arguments.items())})": (
            name,
            arguments,
        )
        for name, arguments in rows
    }


def train(
    architecture: str, arguments: dict[str, Any], data_dir: Path | None, seed: int
) -> dict[str, Any]:
    """Trains a variant and evaluates it on the validation split.

    Args:
        architecture: Key of `petseg.MODELS`.
        arguments: Arguments of the architecture.
        data_dir: Folder of tensorflow_datasets.
        seed: Seed of the weights, the order of the photos and the augmentation.

    Returns:
        Parameters and scores.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(image_size=SIZE, batch_size=BATCH_SIZE, data_dir=data_dir, seed=seed)
    arguments = {"backbone": BACKBONE, **arguments}
    model = petseg.MODELS[architecture](class_names=pets.class_names, **arguments)
    model.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=petseg.CrossEntropyDice(),
        metrics=[petseg.MeanIoU(len(pets.class_names), pets.class_names)],
        jit_compile=False,
    )
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=2, epochs=0)
    scores = petseg.evaluate(model, pets.val)
    return {
        "parameters": model.count_params(),
        "mean_iou": round(scores.mean_iou, 4),
        "class_iou": {name: round(iou, 4) for name, iou in scores.class_iou.items()},
        "pixel_accuracy": round(scores.pixel_accuracy, 4),
    }


def add_speeds(record: Record, rounds: int) -> None:
    """Times the training step with a frozen encoder of every variant in the record.

    Args:
        record: The record, whose rows get the speed relative to the model without a decoder.
        rounds: Number of rounds.
    """
    keras.utils.clear_session()
    models = {BARE: bare_encoder(BACKBONE)}
    for call, (architecture, arguments) in variants(list(VARIANTS)).items():
        if call in record.rows:
            arguments = {"backbone": BACKBONE, **arguments}
            models[call] = petseg.MODELS[architecture](weights=None, **arguments)
    speeds = measure(
        models,
        image_size=SIZE[0],
        batch_sizes=dict.fromkeys(models, BATCH_SIZE),
        images=8 * BATCH_SIZE,
        rounds=rounds,
        task="frozen",
    )
    bare = speeds.pop(BARE)
    for call, values in speeds.items():
        record.rows[call]["frozen_step_speed"] = median_ratio(values, bare, 3)
    record.write(bare_encoder_images_per_second=median(bare, 1))


def main() -> None:
    """Trains the variants that are missing, then times all."""
    parser = argument_parser(__doc__, data_dir="optional", rounds=5)
    parser.add_argument("--models", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args()
    add_backbones()
    settings = {
        "backbone": BACKBONE,
        "image_size": SIZE,
        "epochs": "two, the encoder frozen",
        "split": "validation",
        "batch_size": BATCH_SIZE,
        "frozen_step_speed": "images a second, as a share of the bare encoder's",
        "seed": args.seed,
    }
    record = Record(args.out, settings)
    rows = variants(args.models)
    for call in record.missing(rows):
        record.add(call, train(*rows[call], args.data_dir, args.seed))
    add_speeds(record, args.rounds)


if __name__ == "__main__":
    main()
