"""Augmentation by functions and Keras layers of the user."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import petseg
from petseg.data.epochs import seeded_epochs
from petseg.data.own_augmentation import augmented, own_function


def pets(augment, count=8):
    return petseg.synthetic_pets(count, image_size=(48, 64), batch_size=4, augment=augment)


def first_batch(augment):
    return [part.numpy() for part in next(iter(pets(augment).train))]


def test_a_function_changes_training_batches_alone():
    def upside_down(images, masks):
        return images[:, ::-1], masks[:, ::-1]

    plain, turned = first_batch(False), first_batch(upside_down)
    for one, other in zip(plain, turned, strict=True):
        np.testing.assert_array_equal(one[:, ::-1], other)
    assert [part.dtype for part in turned] == [np.float32, np.int32]
    for one, other in zip(pets(False).val, pets(upside_down).val, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_pixels_stay_in_their_range():
    images, _ = first_batch(lambda images, masks: (images * 3 - 200, masks))
    assert (images.min(), images.max()) == (0, 255)


def test_keras_layers_move_images_and_masks_together():
    """The image is made of the mask, so that each pixel tells where it came from."""
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(0.2, interpolation="nearest", fill_mode="constant"),
            keras.layers.RandomTranslation(0.2, 0.2, interpolation="nearest", fill_mode="constant"),
        ]
    )
    function, moved = own_function(layers, (48, 64), ignore_class=255), []
    for _, masks in pets(False).train:
        shown = tf.repeat(tf.cast(masks, tf.float32), 3, axis=-1) * 100
        images, classes = augmented(function, shown, masks, num_classes=3, ignore_class=255)
        pixels = np.rint(images[..., :1].numpy() / 100)
        classes = tf.where(classes == 255, 0, classes)  # as the black border of the images
        # At borders, the two may be rounded to different neighbours.
        assert (pixels == classes.numpy()).mean() > 0.97
        moved.append((classes.numpy() != masks.numpy()).mean())
    assert np.mean(moved) > 0.05


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.RandomTranslation((0.5, 0.5), (0.0, 0.0), fill_mode="constant"),
        # Keras fills masks with the value of the images, here a label beyond the classes.
        keras.layers.RandomTranslation((0.5, 0.5), 0.0, fill_mode="constant", fill_value=127.0),
        keras.layers.RandomTranslation((0.5, 0.5), 0.0, fill_mode="constant", fill_value=255.0),
    ],
)
def test_new_pixels_have_no_class(layer):
    images = tf.fill((2, 8, 6, 3), 60.0)
    masks = np.ones((2, 8, 6, 1), "int32")
    masks[:, 1] = 255
    function = own_function(layer, (8, 6), ignore_class=255)
    found, labels = augmented(function, images, tf.constant(masks), num_classes=2, ignore_class=255)
    np.testing.assert_array_equal(labels[:, :4], 255)
    np.testing.assert_array_equal(labels[:, 4:], masks[:, :4])
    np.testing.assert_array_equal(found[:, :4], layer.fill_value)
    _, labels = own_function(layer, (8, 6), ignore_class=3)(images, tf.constant(masks))
    np.testing.assert_array_equal(labels[:, :4], 3)


def test_new_pixels_of_a_folder_are_ignored(own_folder):
    def batches(layer, **arguments):
        data = petseg.load_folder(
            own_folder, class_names=("a", "b", "c"), image_size=(32, 32), augment=layer, **arguments
        )
        return np.concatenate([masks for _, masks in data.train])

    plain = batches(False)
    for layer in (
        keras.layers.RandomRotation((0.125, 0.125), fill_mode="constant"),
        keras.layers.RandomZoom((0.5, 0.5), fill_mode="constant"),
        keras.layers.RandomPerspective(1.0, seed=0),
    ):
        found = batches(layer)
        assert np.mean(found == 255) > np.mean(plain == 255) + 0.05, layer.name
        assert np.mean(found == 0) < np.mean(plain == 0) + 0.02, layer.name
        message = rf"must not make pixels without a class.*Received: {type(layer).__name__}, which"
        with pytest.raises(ValueError, match=message):
            batches(layer, ignore_class=None)
    batches(keras.layers.Resizing(32, 32), ignore_class=None)


def test_a_model_trains_with_keras_layers(tmp_path):
    layers = keras.Sequential(
        [keras.layers.RandomRotation(0.1), keras.layers.RandomBrightness(0.2)]
    )
    splits = pets(layers)
    described = seeded_epochs(splits.train).description["augment"]
    assert [layer["class_name"] for layer in described["layers"]] == [
        "RandomRotation",
        "RandomBrightness",
    ]
    json.dumps(described)
    model = petseg.unet(backbone="mobilenetv2", weights=None, class_names=splits.class_names)
    history = petseg.finetune(
        model, splits.train, splits.val, frozen_epochs=0, epochs=1, run_dir=tmp_path, verbose=0
    )
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (lambda images, _: images, "must return images and masks. Received: a function that"),
        (lambda images, masks: (images[:, :8], masks), r"must return images of shape .*Received: "),
        (lambda images, masks: (images, masks[..., 0]), "must return masks of shape"),
        (lambda i, m: (i, tf.cast(m, tf.float32)), "must return masks of integers.*float32"),
        (keras.layers.Dense(3), "must hold layers of Keras that transform images and masks.*Dense"),
        (keras.layers.CutMix(), r"must keep the classes .*Received: CutMix, which mixes .*it\.$"),
        (keras.layers.MixUp(), r"must keep the classes .*Received: MixUp, which mixes .*it\.$"),
        (keras.layers.AugMix(), r"must keep the classes .*Received: AugMix, which mixes .*it\.$"),
        (
            keras.layers.RandomCrop(16, 32),
            r"must return images of `image_size`, \(48, 64\)\. Received: RandomCrop\(16, 32\)",
        ),
    ],
)
def test_what_does_not_keep_masks_is_refused(augment, message):
    with pytest.raises(ValueError, match=f"`augment` {message}"):
        first_batch(augment)


def test_layers_that_interpolate_masks_are_refused():
    # RandomCrop enlarges what is too small, masks as well as images.
    layers = keras.Sequential([keras.layers.Resizing(24, 32), keras.layers.RandomCrop(48, 64)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="`augment` must keep the classes"):
        list(pets(layers).train)


def test_labels_that_are_no_classes_are_refused():
    splits = pets(lambda images, masks: (images, masks + 50))
    model = petseg.unet(backbone="mobilenetv2", weights=None, class_names=splits.class_names)
    message = r"`augment` must return masks of the classes 0 to 2\. Received other labels:.*5[012]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        petseg.finetune(model, splits.train, splits.val, frozen_epochs=0, epochs=1, verbose=0)
    batch = tf.zeros((1, 4, 4, 3)), tf.constant(255, shape=(1, 4, 4, 1))
    _, found = augmented(lambda *both: both, *batch, num_classes=2, ignore_class=255)
    np.testing.assert_array_equal(found, 255)


def test_a_pipeline_is_a_list_of_its_layers():
    layers = [keras.layers.RandomRotation(0.1, seed=1), keras.layers.RandomHue(0.1, seed=2)]
    pipeline = keras.layers.Pipeline([layers[0], keras.layers.Pipeline(layers[1:])])
    described = seeded_epochs(pets(pipeline).train).description["augment"]["layers"]
    assert [layer["class_name"] for layer in described] == ["RandomRotation", "RandomHue"]
    batch = tf.random.uniform((2, 8, 8, 3), maxval=255.0), tf.zeros((2, 8, 8, 1), tf.int32)
    found, _ = own_function(pipeline, (8, 8))(*batch)
    assert not np.allclose(found, batch[0])


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.RandomGrayscale(1.0),
        keras.layers.ContrastLimitedAdaptiveHistogramEqualization(),
    ],
)
def test_layers_of_images_alone_leave_masks(layer):
    plain, changed = (
        np.concatenate(parts, axis=-1) for parts in (first_batch(False), first_batch(layer))
    )
    np.testing.assert_array_equal(plain[..., 3], changed[..., 3])
    assert not np.allclose(plain[..., :3], changed[..., :3])
