"""Changes to the training recipe of the benchmark, one at a time.

Trains U-Net on EfficientNet-Lite0 at 128 x 128 on Oxford-IIIT Pet, one epoch with the encoder
frozen and five of fine-tuning. Records the best mean IoU on the validation split of each stage, and
that of the best weights on the photos of `ordinary_photos`. The test split is not used. Rows that
are in the JSON already are not trained again.

    python -m benchmarks.accuracy.recipe --data-dir DIR --out docs/results/recipe.json
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

import petseg
from benchmarks.accuracy.ordinary_photos import batches, scenes
from benchmarks.common import Record, argument_parser

SIZE = (128, 128)
EPOCHS: dict[str, Any] = {"frozen_epochs": 1, "epochs": 5}


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


class Student(keras.Model):
    """A model that also learns from the probabilities of the pretrained U-Net.

    The teacher sees the same augmented images at its own size. Half of the loss is the compiled
    one, half the cross-entropy with the teacher's probabilities.

    Reference: Hinton et al., 2015, arXiv:1503.02531.
    """

    teacher: Callable[[Any], Any]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        soft = keras.ops.stop_gradient(self.teacher(x))
        taught = -keras.ops.sum(soft * keras.ops.log_softmax(y_pred), axis=-1)
        return 0.5 * (loss + keras.ops.mean(taught))


def student(model: keras.Model) -> Student:
    """Gives a model the pretrained U-Net as its teacher.

    Args:
        model: The model, of the classes of the pets.

    Returns:
        A model with the same layers.
    """
    network = petseg.unet(weights="pets")
    size = petseg.model_info(network).image_size
    network.trainable = False

    def probabilities(images: Any) -> Any:
        logits = network(keras.ops.image.resize(images, size), training=False)
        return keras.ops.softmax(keras.ops.image.resize(logits, images.shape[1:3]))

    taught = Student(model.inputs, model.outputs, name=model.name)
    object.__setattr__(taught, "teacher", probabilities)  # not a layer of the model
    return taught


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
        network: Changes the model before it is compiled.
        seed: Added to the seed of the weights, the order of the photos and the augmentation.
    """

    backbone: str = "efficientnetlite0"
    loss: Callable[[], Callable[..., Any]] = petseg.CrossEntropyDice
    optimizer: Callable[[], keras.optimizers.Optimizer] = keras.optimizers.AdamW
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list
    network: Callable[[keras.Model], keras.Model] = lambda model: model
    seed: int = 0


def _scenes(**strengths: Any) -> dict[str, Any]:
    """The arguments for light augmentation with something added."""
    return {"augment": dataclasses.replace(petseg.data.LIGHT, **strengths)}


COLOUR = {
    name: getattr(petseg.data.STRONG, name)
    for name in ("brightness", "contrast", "saturation", "blur", "noise")
}

CHANGES = {
    "light augmentation": Change(),
    "strong augmentation": Change(data={"augment": "strong"}),
    "mosaics and pasted animals": Change(data=_scenes(mosaic=0.25, paste=0.3)),
    "label-only elastic deformation of 2 pixels": Change(data=_scenes(elastic=2.0)),
    "occluding boxes": Change(data=_scenes(occlusion=0.15)),
    "stronger colour, blur and noise": Change(data=_scenes(**COLOUR)),
    "mosaics": Change(data=_scenes(mosaic=0.25)),
    "pasted animals": Change(data=_scenes(paste=0.3)),
    "another seed": Change(seed=1),
    "half of the loss from the pretrained U-Net": Change(network=student),
    "strong augmentation, half of the loss from the pretrained U-Net": Change(
        data={"augment": "strong"}, network=student
    ),
    "MobileNetV2 backbone": Change(backbone="mobilenetv2"),
    "EfficientNet-Lite2 backbone": Change(backbone="efficientnetlite2"),
    "a third of the learning rate in fine-tuning": Change(training={"learning_rate": (1e-3, 1e-4)}),
    "three times the learning rate in fine-tuning": Change(
        training={"learning_rate": (1e-3, 1e-3)}
    ),
    "fine-tuning of the encoder from stage 4 on": Change(training={"thaw": "stage4"}),
    "batch normalization of the encoder trained": Change(training={"train_batch_norm": True}),
    "no augmentation": Change(data={"augment": False}),
    "cross-entropy alone": Change(loss=cross_entropy),
    "cross-entropy with Lovasz loss": Change(loss=lambda: cross_entropy_lovasz),
    "class weights 1, 2, 3": Change(loss=lambda: petseg.CrossEntropyDice((1, 2, 3))),
    "exponential moving average of the weights (0.99)": Change(
        optimizer=lambda: keras.optimizers.AdamW(use_ema=True),
        callbacks=lambda: [keras.callbacks.SwapEMAWeights()],
    ),
    "Adam": Change(optimizer=keras.optimizers.Adam),
    "batches of 32": Change(data={"batch_size": 32}),
}


def train(change: Change, data_dir: Path | None, seed: int) -> dict[str, float]:
    """Trains with one change.

    Args:
        change: What to change of the recipe.
        data_dir: Folder of tensorflow_datasets.
        seed: Seed of the weights, the order of the photos and the augmentation.

    Returns:
        The best mean IoU on the validation split of each stage, "frozen" and "thawed", and the mean
        IoU on ordinary photos, "ordinary".
    """
    keras.utils.clear_session()
    seed += change.seed
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(image_size=SIZE, data_dir=data_dir, seed=seed, **change.data)
    model = change.network(petseg.unet(backbone=change.backbone, class_names=pets.class_names))
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
    ordinary = petseg.evaluate(model, batches(scenes(data_dir), SIZE))
    return {**best, "ordinary": round(ordinary.mean_iou, 4)}


def main() -> None:
    """Trains the rows that are missing."""
    args = argument_parser(__doc__, data_dir="optional").parse_args()
    settings = {"image_size": SIZE, **EPOCHS, "split": "validation", "seed": args.seed}
    record = Record(args.out, settings)
    for name in record.missing(CHANGES):
        record.add(name, train(CHANGES[name], args.data_dir, args.seed))


if __name__ == "__main__":
    main()
