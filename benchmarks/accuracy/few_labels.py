"""What the pets weights are worth for other classes, of which few photos have labels.

Trains U-Net on EfficientNet-Lite0 at 128 x 128 to tell cat, dog and background apart, from 50, 200
and 1,000 photos of the training split, once from the pets weights and once from those of ImageNet.
The border counts as the animal. Everything else is the same: photos, order, augmentation, epochs
(15 of 200 photos; six of the 1,000 photos). Records the mean IoU on the validation split of the
best epoch. The test split is not used. Rows that are in the JSON already are not trained again.

The pets weights were trained on the same training photos, with the labels pet, background and
border: only the difference between cats and dogs is new to them.

    python -m benchmarks.accuracy.few_labels --data-dir DIR --out docs/results/few_labels.json
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import petseg
from benchmarks.common import Record, argument_parser
from petseg.data.pipeline import Batching
from petseg.data.splits import Splits, make_splits

SIZE = (128, 128)
CLASSES = ("cat", "dog", "background")
EPOCHS: dict[str, Any] = {"frozen_epochs": 3, "epochs": 12}
MANY = 1000  # photos, of which fewer epochs are enough
EPOCHS_OF_MANY: dict[str, Any] = {"frozen_epochs": 1, "epochs": 5}
PHOTOS_PER_EPOCH = 200  # fewer photos are repeated in each epoch
STARTS = ("pets", "imagenet")
SEEDS = {50: 3, 200: 2, MANY: 1}  # by the number of photos


def runs() -> Iterator[tuple[str, int, str, int]]:
    """Lists all runs.

    Yields:
        The name, the number of photos, the initial weights and the seed of each run.
    """
    for photos, seeds in SEEDS.items():
        for seed in range(seeds):
            for start in STARTS:
                yield f"{photos} photos, {start}, seed {seed}", photos, start, seed


def species_masks(examples: tf.data.Dataset) -> tf.data.Dataset:
    """Labels each animal with its species.

    Args:
        examples: Examples of `petseg.data.pet_examples`.

    Returns:
        The same examples with a `mask` of indices into `CLASSES`.
    """
    background = petseg.PET_CLASSES.index("background")

    def label(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # The names of cat breeds begin with a capital letter, those of dog breeds do not.
        is_cat = tf.strings.regex_full_match(example["file_name"], "[A-Z].*")
        species = tf.where(is_cat, CLASSES.index("cat"), CLASSES.index("dog"))
        is_animal = example["mask"] != background
        mask = tf.where(is_animal, species, CLASSES.index("background"))
        return {**example, "mask": tf.cast(mask, tf.uint8)}

    return examples.map(label, num_parallel_calls=tf.data.AUTOTUNE)


def load(data_dir: Path | None, photos: int, seed: int) -> Splits:
    """Loads the validation photos and some of the training photos.

    Args:
        data_dir: Folder of `tensorflow_datasets`.
        photos: Number of training photos.
        seed: Seed of their choice, their order and their augmentation.

    Returns:
        The data.
    """
    examples = petseg.data.pet_examples(data_dir)
    total = int(examples["train"].cardinality())
    chosen = np.zeros(total, bool)
    chosen[np.random.default_rng(seed).permutation(total)[:photos]] = True
    marked = tf.data.Dataset.zip(examples["train"], tf.data.Dataset.from_tensor_slices(chosen))
    train = marked.filter(lambda _, keep: keep).map(lambda example, _: example)
    repeats = max(1, PHOTOS_PER_EPOCH // photos)
    train = train.cache().repeat(repeats)
    train = train.apply(tf.data.experimental.assert_cardinality(photos * repeats))
    labelled = {split: species_masks(part) for split, part in {**examples, "train": train}.items()}
    return make_splits(labelled, CLASSES, None, Batching(SIZE, 16, True, seed))


def train(start: str, splits: Splits, seed: int, epochs: dict[str, Any]) -> dict[str, Any]:
    """Trains from some weights.

    Args:
        start: The initial weights.
        splits: The data.
        seed: Seed of the new weights.
        epochs: Frozen and thawed epochs.

    Returns:
        The best mean IoU on the validation split, and the IoU of each class in that epoch.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = petseg.unet(len(CLASSES), weights=start, class_names=CLASSES)
    model.compile(
        optimizer=keras.optimizers.AdamW(),
        loss=petseg.CrossEntropyDice(),
        metrics=[petseg.MeanIoU(len(CLASSES), CLASSES)],
        jit_compile=False,
    )
    history = petseg.finetune(model, splits.train, splits.val, **epochs, verbose=2).history
    best = int(np.argmax(history["val_mean_iou"]))
    return {
        "mean_iou": round(history["val_mean_iou"][best], 4),
        "class_iou": {name: round(history[f"val_iou_{name}"][best], 4) for name in CLASSES},
        "epoch": best + 1,
    }


def main() -> None:
    """Trains the runs that are missing."""
    args = argument_parser(__doc__, data_dir="optional", seed=False).parse_args()
    settings = {
        "image_size": SIZE,
        **EPOCHS,
        "photos_per_epoch": PHOTOS_PER_EPOCH,
        f"with_{MANY}_photos": EPOCHS_OF_MANY,
    }
    record = Record(args.out, {**settings, "split": "validation"})
    for name, photos, start, seed in runs():
        if name not in record.rows:
            splits = load(args.data_dir, photos, seed)
            epochs = EPOCHS_OF_MANY if photos == MANY else EPOCHS
            record.add(name, train(start, splits, seed, epochs))


if __name__ == "__main__":
    main()
