"""What parts of the training recipe give: one change at a time from light augmentation.

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
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`.
        image_size: (height, width) of the images.
        data: Arguments of `petseg.load_pets`.
        training: Arguments of `petseg.finetune`.
        network: Changes the model before it is compiled.
        seed: Added to the seed of the weights, the order of the photos and the augmentation.
    """

    architecture: str = "unet"
    backbone: str = "efficientnetlite0"
    image_size: tuple[int, int] = SIZE
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    network: Callable[[keras.Model], keras.Model] = lambda model: model
    seed: int = 0


def _light_and(**strengths: Any) -> Change:
    """Adds something to light augmentation."""
    return Change(data={"augment": dataclasses.replace(petseg.data.LIGHT, **strengths)})


COLOUR = {
    name: getattr(petseg.data.STRONG, name)
    for name in ("brightness", "contrast", "saturation", "blur", "noise")
}

CHANGES = {
    "light augmentation": Change(),
    "another seed": Change(seed=1),
    "mosaics and pasted animals": _light_and(mosaic=0.25, paste=0.3),
    "occluding boxes": _light_and(occlusion=0.15),
    "stronger colour, blur and noise": _light_and(**COLOUR),
    "strong augmentation": Change(data={"augment": "strong"}),
    "strong augmentation, half of the loss from the pretrained U-Net": Change(
        data={"augment": "strong"}, network=student
    ),
    "label-only elastic deformation of 2 pixels": _light_and(elastic=2.0),
    "fine-tuning of the encoder from stage 4 on": Change(training={"thaw": "stage4"}),
}


def train(
    change: Change, data_dir: Path | None, seed: int
) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Trains with one change.

    Args:
        change: What to change of the recipe.
        data_dir: Folder of tensorflow_datasets.
        seed: Seed of the weights, the order of the photos and the augmentation.

    Returns:
        The best mean IoU on the validation split of each stage, "frozen" and "thawed", and the mean
        IoU on ordinary photos, "ordinary"; and the history of `petseg.finetune`.
    """
    keras.utils.clear_session()
    seed += change.seed
    keras.utils.set_random_seed(seed)
    pets = petseg.load_pets(
        image_size=change.image_size, data_dir=data_dir, seed=seed, **change.data
    )
    model = change.network(
        petseg.MODELS[change.architecture](backbone=change.backbone, class_names=pets.class_names)
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=petseg.CrossEntropyDice(),
        metrics=[petseg.MeanIoU(len(pets.class_names), pets.class_names)],
        jit_compile=False,
    )
    history: dict[str, list[Any]] = petseg.finetune(
        model,
        pets.train,
        pets.val,
        **{**EPOCHS, **change.training},
        verbose=2,
    ).history
    best: dict[str, float] = {}
    for stage, mean_iou in zip(history["stage"], history["val_mean_iou"], strict=True):
        best[stage] = max(best.get(stage, 0.0), round(mean_iou, 4))
    ordinary = petseg.evaluate(model, batches(scenes(data_dir), change.image_size))
    return {**best, "ordinary": round(ordinary.mean_iou, 4)}, history


def main() -> None:
    """Trains the rows that are missing."""
    args = argument_parser(__doc__, data_dir="optional").parse_args()
    settings = {"image_size": SIZE, **EPOCHS, "split": "validation", "seed": args.seed}
    record = Record(args.out, settings)
    for name in record.missing(CHANGES):
        scores, _ = train(CHANGES[name], args.data_dir, args.seed)
        record.add(name, scores)


if __name__ == "__main__":
    main()
