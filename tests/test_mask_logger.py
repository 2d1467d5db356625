"""The masks of the same photos are drawn after each epoch."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.util import event_pb2
from tiny import tiny_model

import petseg


def examples(count=6, size=32):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (count, size, size, 3)).astype("float32")
    masks = rng.integers(0, 3, (count, size, size, 1))
    return tf.data.Dataset.from_tensor_slices((images, masks)).batch(2)


def pictures_for_tensorboard(folder):
    steps = []
    for file in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            steps += [event.step for value in event.summary.value if value.tag == "masks"]
    return steps


def test_every_epoch_of_both_stages_leaves_a_picture(tmp_path):
    model, data = tiny_model(), examples()
    logger = petseg.MaskLogger(data, tmp_path / "masks", samples=3)
    petseg.finetune(
        model,
        data,
        data,
        frozen_epochs=1,
        epochs=2,
        verbose=0,
        callbacks=[logger],
        learning_rate=0.1,
    )
    files = sorted(path.name for path in (tmp_path / "masks").glob("*.png"))
    assert files == ["epoch-001.png", "epoch-002.png", "epoch-003.png"]
    pixels = [np.asarray(Image.open(tmp_path / "masks" / name)) for name in files]
    height = pixels[0].shape[0]
    assert pixels[0].shape == pixels[2].shape
    # The photos are the same in all epochs, the predicted masks are not.
    np.testing.assert_array_equal(pixels[0][: height // 4], pixels[2][: height // 4])
    assert (pixels[0] != pixels[2]).any()
    assert pictures_for_tensorboard(tmp_path / "masks") == [0, 1, 2]


def test_a_dataset_of_unknown_length_is_read(tmp_path):
    data = examples().filter(lambda *_: True)
    logger = petseg.MaskLogger(data, tmp_path, samples=2)
    logger.set_model(tiny_model())
    logger.on_epoch_end(11)
    logger.on_train_end()
    assert [path.name for path in tmp_path.glob("*.png")] == ["epoch-012.png"]


@pytest.mark.parametrize(
    ("dataset", "samples", "error", "message"),
    [
        ([1], 6, TypeError, "`dataset` must be a tf.data.Dataset"),
        (examples().unbatch(), 6, ValueError, "`dataset` must yield batches"),
        (examples().repeat(), 6, ValueError, "`dataset` must end"),
        (examples(), 0, ValueError, "`samples` must be a positive integer. Received: 0"),
    ],
)
def test_wrong_arguments_are_refused(dataset, samples, error, message, tmp_path):
    with pytest.raises(error, match=message):
        petseg.MaskLogger(dataset, tmp_path / "masks", samples=samples)
    assert not (tmp_path / "masks").exists()
