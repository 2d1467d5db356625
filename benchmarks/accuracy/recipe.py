"""What the recipe of the benchmark's training is made of: one change at a time.

Trains U-Net on MobileNetV2 at 128 x 128 on Oxford-IIIT Pet, two epochs frozen and six thawed, and
takes the best mean IoU on the validation part of the training list; the test split stays untouched.
A row that is in the JSON already is not trained again.

    python benchmarks/recipe.py --data-dir DIR --out docs/results/recipe.json
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

import petseg
from petseg.environment import environment
from petseg.atomic_files import write_json

SIZE = (128, 128)
EPOCHS = {"frozen_epochs": 2, "epochs": 6}


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def cross_entropy_lovasz(y_true: Any, y_pred: Any) -> Any:
    """Cross-entropy plus Lovasz-softmax over the batch (Berman et al., arXiv:1705.08790)."""
    truth = keras.ops.one_hot(keras.ops.squeeze(y_true, -1), y_pred.shape[-1])
    errors = keras.ops.abs(truth - keras.ops.softmax(y_pred))
    surrogates = []
    for index in range(y_pred.shape[-1]):
        error = keras.ops.ravel(errors[..., index])
        order = keras.ops.flip(keras.ops.argsort(error))
        sorted_truth = keras.ops.take(keras.ops.ravel(truth[..., index]), order)
        hits, misses = keras.ops.cumsum(sorted_truth), keras.ops.cumsum(1.0 - sorted_truth)
        size = keras.ops.sum(sorted_truth)
        loss = 1.0 - (size - hits) / (size + misses)
        steps = keras.ops.concatenate([loss[:1], loss[1:] - loss[:-1]])
        surrogates.append(keras.ops.sum(keras.ops.take(error, order) * steps))
    lovasz = sum(surrogates) / len(surrogates)
    return cross_entropy()(y_true, y_pred) + lovasz


@dataclass(frozen=True)
class Change:
    """What a row does otherwise."""

    backbone: str = "mobilenetv2"
    loss: Callable[[], Callable[..., Any]] = petseg.CrossEntropyDice
    optimizer: Callable[[], keras.optimizers.Optimizer] = keras.optimizers.AdamW
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list


CHANGES = {
    "the recipe": Change(),
    "a third of the rate once thawed": Change(training={"learning_rate": (1e-3, 1e-4)}),
    "three times the rate once thawed": Change(training={"learning_rate": (1e-3, 1e-3)}),
    "weights averaged over steps (0.99)": Change(
        optimizer=lambda: keras.optimizers.AdamW(use_ema=True),
        callbacks=lambda: [keras.callbacks.SwapEMAWeights()],
    ),
    "on MobileNet": Change(backbone="mobilenet"),
    "cross-entropy alone": Change(loss=cross_entropy),
    "cross-entropy with Lovasz": Change(loss=lambda: cross_entropy_lovasz),
    "class weights 1, 2, 3": Change(loss=lambda: petseg.CrossEntropyDice((1, 2, 3))),
    "Adam": Change(optimizer=keras.optimizers.Adam),
    "SGD, momentum 0.9, ten times the rate": Change(
        optimizer=lambda: keras.optimizers.SGD(momentum=0.9),
        training={"learning_rate": (1e-2, 3e-3)},
    ),
    "the encoder thawed from stride 8 on": Change(training={"thaw": "stage4"}),
    "batch normalization trained": Change(training={"train_batch_norm": True}),
    "no augmentation": Change(data={"augment": False}),
    "batches of 32": Change(data={"batch_size": 32}),
}


def train(change: Change, data_dir: Path, seed: int) -> dict[str, float]:
    """The best mean IoU on validation, before and after the encoder was thawed."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(image_size=SIZE, data_dir=data_dir, seed=seed, **change.data)
    model = petseg.unet(backbone=change.backbone, class_names=pets.class_names)
    model.compile(
        optimizer=change.optimizer(),
        loss=change.loss(),
        metrics=[petseg.MeanIoU(3, pets.class_names)],
        jit_compile=False,
    )
    history = petseg.finetune(
        model, pets.train, pets.val, **EPOCHS, **change.training, callbacks=change.callbacks()
    ).history
    rows = zip(history["stage"], history["val_mean_iou"], strict=True)
    best: dict[str, float] = {}
    for stage, mean_iou in rows:
        best[stage] = max(best.get(stage, 0.0), round(mean_iou, 4))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record: dict[str, Any] = {"rows": {}}
    if args.out.exists():
        record = json.loads(args.out.read_text(encoding="utf-8"))
    record["settings"] = {"image_size": SIZE, **EPOCHS, "split": "validation", "seed": args.seed}
    record["environment"] = environment()
    for name, change in CHANGES.items():
        if name in record["rows"]:
            continue
        record["rows"][name] = train(change, args.data_dir, args.seed)
        print(name, record["rows"][name], flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, record)


if __name__ == "__main__":
    main()
