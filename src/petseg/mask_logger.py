"""A callback that draws the masks of the same few photos after each epoch."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from PIL import Image

from petseg.mask_grid import prediction_grid, spread_examples
from petseg.model_records import model_info
from petseg.training_arguments import check_batches
from petseg_runtime import validation
from petseg_runtime.atomic_files import whole_file


class MaskLogger(keras.callbacks.Callback):
    """Draws validation photos with their true and their predicted masks after each epoch.

    Each epoch gives the file `epoch-001.png`, `epoch-002.png` and so on. Where TensorBoard is
    installed, its tab "Images" shows the same pictures.

    Args:
        dataset: Batches `(images, masks)`, such as `splits.val`.
        folder: Folder for the files, made if it is missing.
        samples: Number of photos, spread evenly over the dataset; at least 1.

    Raises:
        TypeError: If `dataset` is not a `tf.data.Dataset`.
        ValueError: If its elements are not such batches, or `samples` is out of its range.

    Example:
        >>> pets = petseg.load_pets()
        >>> masks = petseg.MaskLogger(pets.val, "runs/unet/masks")
        >>> petseg.finetune(model, pets.train, pets.val, callbacks=[masks])
    """

    def __init__(
        self, dataset: tf.data.Dataset, folder: str | os.PathLike[str], *, samples: int = 6
    ):
        super().__init__()
        check_batches("dataset", dataset)
        if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError("`dataset` must end. Received: an infinite dataset.")
        self.dataset = dataset
        self.folder = Path(folder)
        self.samples = validation.integer("samples", samples, 1)
        self._examples: tuple[list[np.ndarray], list[np.ndarray]] | None = None
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._examples is None:  # They stay the same for all epochs.
            is_known = int(self.dataset.cardinality()) >= 0
            batches = self.dataset if is_known else list(self.dataset)
            self._examples = spread_examples(batches, self.samples)
        images, truth = self._examples
        masks = [
            ops.convert_to_numpy(ops.argmax(self.model(image[None], training=False)[0], axis=-1))
            for image in images
        ]
        info = model_info(self.model)
        figure = prediction_grid(
            images,
            truth,
            {f"epoch {epoch + 1}": masks},
            info.class_names,
            ignore_class=info.ignore_class,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = self.folder / f"epoch-{epoch + 1:03}.png"
        with whole_file(picture) as part:
            figure.savefig(part, dpi=100)
        if importlib.util.find_spec("tensorboard") is not None:
            self._add_to_tensorboard(np.asarray(Image.open(picture).convert("RGB")), epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add_to_tensorboard(self, pixels: np.ndarray, epoch: int) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default():
            tf.summary.image("masks", pixels[None], step=epoch)
