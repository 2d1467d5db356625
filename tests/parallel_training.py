"""Trains U-Net on several devices, in a process of its own. Prints what it found as JSON.

python tests/parallel_training.py N FOLDER      # on N devices; again, until two epochs are done
python tests/parallel_training.py one FOLDER    # on one device; then what is left in the folder
python tests/parallel_training.py shards FOLDER # two epochs of shards, on one device each
python tests/parallel_training.py N kernels     # batches of one image, on N devices
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import Stop

import petseg
from petseg import processes
from petseg.devices import training_scope

EPOCHS = {"frozen_epochs": 0, "epochs": 3, "learning_rate": 0.002, "train_batch_norm": True}
IGNORED = 255


def network():
    """A small encoder with features at strides 2 to 32."""
    images = keras.Input((None, None, 3))
    x = images
    for stage in range(5):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU(name=f"stage{stage}")(x)
    return keras.Model(images, x, name="small")


def data():
    """Synthetic pets, some pixels ignored, in batches that two devices cannot share equally.

    On TensorFlow the last batch is a single image. JAX compiles a function for each size of batch.
    """
    images_in_batch, count = (3, 9) if keras.backend.backend() == "jax" else (4, 13)
    pets = petseg.synthetic_pets(36, image_size=(64, 64), batch_size=4, augment=False)
    images, masks = next(pets.train.unbatch().batch(count).as_numpy_iterator())
    masks = masks.copy()
    masks[:, :5] = IGNORED
    masks[2] = IGNORED
    return tf.data.Dataset.from_tensor_slices((images, masks)).batch(images_in_batch)


def model():
    keras.utils.set_random_seed(0)
    built = petseg.unet(
        backbone=network(),
        weights=None,
        class_names=petseg.PET_CLASSES,
        ignore_class=IGNORED,
        decoder_filters=(8, 8, 8),
    )
    built.compile(
        optimizer=keras.optimizers.SGD(momentum=0.9),
        loss=petseg.CrossEntropyDice(ignore_class=IGNORED),
        metrics=[petseg.MeanIoU(3, petseg.PET_CLASSES, IGNORED)],
        jit_compile=keras.backend.backend() == "jax",
    )
    return built


def train(trained, run_dir, *callbacks):
    history = petseg.finetune(
        trained, data(), data(), **EPOCHS, run_dir=run_dir, callbacks=callbacks, verbose=0
    )
    weights = [float(np.abs(weight).sum()) for weight in trained.get_weights()]
    return {"history": history.history, "weights": weights}


def train_on_shards(folder):
    """Trains on shards of two images, in batches of two. Tells which of their files were opened."""
    opened = set()

    def note(event, arguments):
        if event == "open" and str(arguments[0]).endswith(".tar"):
            opened.add(Path(arguments[0]).name)

    sys.addaudithook(note)
    shards = petseg.load_shards(folder, image_size=(64, 64), batch_size=2, augment=False)
    others = EPOCHS | {"epochs": 1 + processes.place()[0]}
    with pytest.raises(ValueError, match="same settings of the training"):
        petseg.finetune(model(), shards.train, shards.val, **others)
    history = petseg.finetune(model(), shards.train, shards.val, **EPOCHS, verbose=0).history
    del history["seconds"]
    return {"opened": sorted(opened), "history": history}


def convolution_kernels():
    """Trains one convolution of each kind with one image at a time."""
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(images)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.SeparableConv2D(4, 3, padding="same")(x)
    x = keras.layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    trained = keras.Model(images, x)
    trained.compile(keras.optimizers.SGD(0.1), petseg.CrossEntropyDice())
    rng = np.random.default_rng(0)
    for weight in trained.weights:
        weight.assign(rng.normal(size=weight.shape) / 3)
    batch = rng.random((1, 16, 16, 3), np.float32), rng.integers(0, 3, (1, 16, 16, 1))
    with training_scope(trained):
        trained.fit(tf.data.Dataset.from_tensors(batch).repeat(30), verbose=0)
    return [weight.ravel().tolist() for weight in trained.get_weights()]


def main():
    if sys.argv[2] == "kernels":
        with petseg.data_parallel(int(sys.argv[1])):
            print(json.dumps(convolution_kernels()))
        return
    devices, folder = sys.argv[1], Path(sys.argv[2])
    if devices == "one":
        print(json.dumps({"whole": train(model(), None), "resumed": train(model(), folder)}))
        return
    if devices == "shards":
        with petseg.data_parallel(1):
            print(json.dumps(train_on_shards(folder)))
        return
    with petseg.data_parallel(int(devices)) as count:
        trained = model()
        with suppress(KeyboardInterrupt):
            train(trained, folder, Stop(2))
        found = {"devices": count}
        if count == int(devices):  # one process
            found["mean_iou"] = petseg.evaluate(trained, data()).mean_iou
    print(json.dumps(found))


if __name__ == "__main__":
    main()
