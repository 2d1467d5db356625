"""`Splits`: what every loader returns."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from petseg.data.augmentation import Augmentation
from petseg.data.pipeline import Batching, evaluation_batches, training_batches
from petseg.data.records import Records
from petseg_runtime.model_info import background_of
from petseg_runtime.palette import class_colours

TABLE = """<table>
<thead><tr><th>split</th><th>batches</th></tr></thead>
<tbody>
{splits}
</tbody>
</table>
<p>Image size: {height} x {width} (height x width)</p>
<p>Classes: {classes}</p>
<p>Ignored label: {ignored}</p>"""
SPLIT_ROW = "<tr><td>{split}</td><td>{batches}</td></tr>"
CLASS_NAME = (
    '<span style="display: inline-block; width: 0.8em; height: 0.8em; '
    'background: rgb({red}, {green}, {blue})"></span> {index} {name}'
)


@dataclass(frozen=True, repr=False)
class Splits:
    """Batches for training, validation and test, and what their masks mean.

    A batch is `(images, masks)`: float32 `(N, H, W, 3)` in [0, 255], and int32 `(N, H, W, 1)` of
    indices into `class_names`, or `ignore_class`. A notebook shows a `Splits` as a table.

    Attributes:
        train: Training batches, shuffled and, if wanted, augmented each epoch.
        val: Validation batches, in a fixed order and not augmented.
        test: Test batches, in a fixed order and not augmented.
        class_names: Name of each class, in the order of the labels.
        ignore_class: Label of pixels without a class, to be passed to the model as
            `ignore_class`, or None where every pixel has a class.
        image_size: (height, width) of the images and masks in pixels.

    Example:
        >>> pets = petseg.synthetic_pets(image_size=(64, 96))
        >>> model = petseg.unet(
        ...     len(pets.class_names),
        ...     class_names=pets.class_names,
        ...     ignore_class=pets.ignore_class,
        ... )
        >>> petseg.finetune(model, pets.train, pets.val)
        >>> petseg.evaluate(model, pets.test)
    """

    train: tf.data.Dataset
    val: tf.data.Dataset
    test: tf.data.Dataset
    class_names: tuple[str, ...]
    ignore_class: int | None
    image_size: tuple[int, int]

    def __repr__(self) -> str:
        counts = ", ".join(f"{split}: {count}" for split, count in self._num_batches().items())
        height, width = self.image_size
        return (
            f"<Splits of {height} x {width} images ({counts} batches), "
            f"class_names={self.class_names!r}, ignore_class={self.ignore_class!r}>"
        )

    def _repr_html_(self) -> str:
        height, width = self.image_size
        colours = class_colours(self.class_names)
        classes = [
            CLASS_NAME.format(red=red, green=green, blue=blue, index=index, name=html.escape(name))
            for index, (name, (red, green, blue)) in enumerate(
                zip(self.class_names, colours, strict=True)
            )
        ]
        rows = [
            SPLIT_ROW.format(split=split, batches=count)
            for split, count in self._num_batches().items()
        ]
        return TABLE.format(
            splits="\n".join(rows),
            height=height,
            width=width,
            classes=" &nbsp; ".join(classes),
            ignored="none" if self.ignore_class is None else self.ignore_class,
        )

    def _num_batches(self) -> dict[str, str]:
        datasets = {"train": self.train, "val": self.val, "test": self.test}
        return {split: _length(dataset) for split, dataset in datasets.items()}


def make_splits(
    examples: Mapping[str, tf.data.Dataset | Records],
    class_names: tuple[str, ...],
    ignore_class: int | None,
    batching: Batching,
) -> Splits:
    """Makes the batches of all three splits.

    Args:
        examples: For each of "train", "val" and "test" a dataset of dicts: `image` (uint8,
            `(H, W, 3)`), `mask` (uint8 classes, `(H, W, 1)`) and `file_name`, or records of these.
        class_names: Name of each class, in the order of the labels.
        ignore_class: Label of pixels without a class, or None.
        batching: Size, number and seed of the batches, and how training is augmented.

    Returns:
        The splits. Training and validation examples are kept as `batching.cache` says: in memory
        as they are first read, or in a file, which is written now.

    Raises:
        ValueError: If an `Augmentation` needs a background class, or Keras's layers make pixels
            without a class, and there is none.
    """
    background = background_of(class_names)
    augment = batching.augment
    # "strong", which names no single transformation, leaves out those that need a background.
    if isinstance(augment, Augmentation) and background is None:
        for name in ("paste", "occlusion"):
            if getattr(augment, name):
                raise ValueError(
                    f'`{name}` of `augment` needs a class named "background". Received: '
                    f"{getattr(augment, name)} with the classes {', '.join(class_names)}. Name "
                    f"the background class so, or set `{name}` to 0."
                )
    return Splits(
        train=training_batches(
            examples["train"], batching, len(class_names), background, ignore_class
        ),
        val=evaluation_batches(examples["val"], batching, cache=batching.cache),
        # Usually read once, so not worth the memory.
        test=evaluation_batches(examples["test"], batching, cache=False),
        class_names=class_names,
        ignore_class=ignore_class,
        image_size=batching.image_size,
    )


def _length(dataset: tf.data.Dataset) -> str:
    try:
        return f"{len(dataset):,}"
    except TypeError:  # of unknown or of infinite length
        return "unknown"
