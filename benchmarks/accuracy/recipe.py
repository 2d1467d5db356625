"""Changes to the training recipe of the benchmark, one at a time.

Trains U-Net on MobileNetV2 at 128 x 128 on Oxford-IIIT Pet, two epochs with the encoder frozen and
six of fine-tuning, and records the best mean IoU on the validation split of each stage. The test
split is not used. Rows that are in the JSON already are not trained again.

    python -m benchmarks.accuracy.recipe --data-dir DIR --out docs/results/recipe.json
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

import petseg
from benchmarks.common import Record, argument_parser

SIZE = (128, 128)
EPOCHS: dict[str, Any] = {"frozen_epochs": 2, "epochs": 6}


def cross_entropy() -> keras.losses.Loss:
    """Makes the cross-entropy of logits.

    Returns:
        The loss.
    """
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def cross_entropy_lovasz(y_true: Any, y_pred: Any) -> Any:
    """Computes cross-entropy plus Lovasz-softmax over the batch.

    Args:
        y_true: Classes `(N, H, W, 1)`.
        y_pred: Logits `(N, H, W, num_classes)`.

    Returns:
        The loss of each pixel.

    Reference: Berman et al., 2018, arXiv:1705.08790.
    """
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
    """What a row changes of the recipe.

    Attributes:
        backbone: Key of `petseg.BACKBONES`.
        loss: Makes the loss.
        optimizer: Makes the optimizer.
        data: Arguments of `petseg.load_pets`.
        training: Arguments of `petseg.finetune`.
        callbacks: Makes the callbacks.
    """

    backbone: str = "mobilenetv2"
    loss: Callable[[], Callable[..., Any]] = petseg.CrossEntropyDice
    optimizer: Callable[[], keras.optimizers.Optimizer] = keras.optimizers.AdamW
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list


CHANGES = {
    "the recipe": Change(),
    "a third of the learning rate in fine-tuning": Change(training={"learning_rate": (1e-3, 1e-4)}),
    "three times the learning rate in fine-tuning": Change(
        training={"learning_rate": (1e-3, 1e-3)}
    ),
    "exponential moving average of the weights (0.99)": Change(
        optimizer=lambda: keras.optimizers.AdamW(use_ema=True),
        callbacks=lambda: [keras.callbacks.SwapEMAWeights()],
    ),
    "MobileNet backbone": Change(backbone="mobilenet"),
    "cross-entropy alone": Change(loss=cross_entropy),
    "cross-entropy with Lovasz loss": Change(loss=lambda: cross_entropy_lovasz),
    "class weights 1, 2, 3": Change(loss=lambda: petseg.CrossEntropyDice((1, 2, 3))),
    "Adam": Change(optimizer=keras.optimizers.Adam),
    "SGD, momentum 0.9, ten times the learning rate": Change(
        optimizer=lambda: keras.optimizers.SGD(momentum=0.9),
        training={"learning_rate": (1e-2, 3e-3)},
    ),
    "fine-tuning of the encoder from stage 4 on": Change(training={"thaw": "stage4"}),
    "batch normalization of the encoder trained": Change(training={"train_batch_norm": True}),
    "no augmentation": Change(data={"augment": False}),
    "batches of 32": Change(data={"batch_size": 32}),
}


def train(change: Change, data_dir: Path | None, seed: int) -> dict[str, float]:
    """Trains with one change.

    Args:
        change: What to change of the recipe.
        data_dir: Folder of tensorflow_datasets.
        seed: Seed of the weights, the order of the photos and the augmentation.

    Returns:
        The best mean IoU on the validation split of each stage, "frozen" and "thawed".
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(image_size=SIZE, data_dir=data_dir, seed=seed, **change.data)
    model = petseg.unet(backbone=change.backbone, class_names=pets.class_names)
    model.compile(
        optimizer=change.optimizer(),
        loss=change.loss(),
        metrics=[petseg.MeanIoU(len(pets.class_names), pets.class_names)],
        jit_compile=False,
    )
    history = petseg.finetune(
        model, pets.train, pets.val, **EPOCHS, **change.training, callbacks=change.callbacks()
    ).history
    best: dict[str, float] = {}
    for stage, mean_iou in zip(history["stage"], history["val_mean_iou"], strict=True):
        best[stage] = max(best.get(stage, 0.0), round(mean_iou, 4))
    return best


def main() -> None:
    """Trains the rows that are missing."""
    args = argument_parser(__doc__, data_dir="optional").parse_args()
    settings = {"image_size": SIZE, **EPOCHS, "split": "validation", "seed": args.seed}
    record = Record(args.out, settings)
    for name in record.missing(CHANGES):
        record.add(name, train(CHANGES[name], args.data_dir, args.seed))


if __name__ == "__main__":
    main()
