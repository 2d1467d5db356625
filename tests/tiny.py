"""A model and data small enough to train in a test, on any backend."""

import keras
import numpy as np
import tensorflow as tf

import petseg

SIZE = (8, 8)


def tiny_pets(seed=0):
    """24 synthetic pets of 8 x 8 pixels: two batches to train on and one to validate."""
    return petseg.synthetic_pets(24, image_size=SIZE, batch_size=8, seed=seed)


def tiny_model(optimizer=None, loss=None, metrics=None, **arguments):
    """A model with an encoder, batch normalization and dropout, which has a random state."""
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    inputs = keras.Input((None, None, 3))
    y = keras.layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    y = keras.layers.BatchNormalization(name="norm")(y)
    encoder = keras.Model(inputs, keras.layers.ReLU()(y), name="encoder")
    x = keras.layers.SpatialDropout2D(0.3)(encoder(x))
    model = keras.Model(images, keras.layers.Conv2D(3, 1, dtype="float32")(x), name="tiny")
    model.compile(
        optimizer=optimizer or keras.optimizers.Adam(),
        loss=loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics or [petseg.MeanIoU(3, petseg.PET_CLASSES)],
        **arguments,
    )
    return model


def batches(count, batch_size=1, masks_rank=4):
    """Random images and masks."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (count * batch_size, *SIZE, 3)).astype("float32")
    masks = rng.integers(0, 3, (count * batch_size, *SIZE, 1)[:masks_rank])
    return tf.data.Dataset.from_tensor_slices((images, masks)).batch(batch_size)


class Stop(keras.callbacks.Callback):
    """Ends the training where a kill would: with the epochs before `epoch` done."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002 -- Keras passes it by name
        if epoch == self.epoch:
            raise KeyboardInterrupt
