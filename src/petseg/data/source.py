"""`DataSource`: a dataset by its name, for the command line and for experiments."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from petseg.data.augmentation import Augment
from petseg.data.caching import MEMORY, Cache
from petseg.data.folder import layout_records
from petseg.data.folder_layout import find_layout, find_scheme
from petseg.data.folder_names import IMAGES, MASKS
from petseg.data.label_scheme import (
    TRIMAPS,
    UNLABELLED,
    LabelScheme,
    checked_class_names,
    checked_ignore_class,
)
from petseg.data.label_tables import Labels, LabelTable, checked_labels
from petseg.data.loaders import SHUFFLE_BUFFER, load_folder
from petseg.data.oxford_pets import BINARY_CLASSES, PET_CLASSES, border_as_pet, pet_records
from petseg.data.pipeline import Batching
from petseg.data.records import Records
from petseg.data.shard_files import shard_paths
from petseg.data.shards import shard_records
from petseg.data.splits import Splits, make_splits
from petseg.data.statistics import SplitSummary, describe
from petseg.data.synthetic import synthetic_records
from petseg.data.verify import Problem, verify_folder, verify_pets
from petseg_runtime.validation import boolean, did_you_mean, integer

NAMES = ("pets", "synthetic")

# The fields that say how a folder is read, with their defaults.
FOLDER_SETTINGS = {
    "images": IMAGES,
    "masks": MASKS,
    "ignore_class": UNLABELLED,
    "labels": None,
    "channels": 3,
}

# The synthetic pets of a `DataSource` are always the same.
SYNTHETIC_EXAMPLES = 96
SYNTHETIC_SEED = 0


@dataclass(frozen=True)
class DataSource:
    """The name of a dataset and the settings needed to load it.

    Creating a `DataSource` reads and downloads nothing. Its methods do.

    Attributes:
        name: "pets" (Oxford-IIIT Pet), "synthetic" (96 synthetic pets, always the same), or the
            path of a folder as `petseg.load_folder` or `petseg.load_shards` takes it. A folder that
            is itself called "pets" or "synthetic" is written "./pets".
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`. For "pets" only.
        classes: Name of each class in your own masks, in the order of the labels: 2 to 255
            different names. For a folder only; None for the official archives, or where a table
            has the names.
        binary: Whether to merge the border of the pets into the pet, which leaves the classes
            0 pet and 1 background. Not for masks of your own.
        images: Name of the folder of images, see `petseg.load_folder`.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class in a folder's masks, or None.
        labels: What the labels or colours in a folder's masks mean: a mapping, or the path of a
            table. A mapping is kept as a tuple of pairs.
        channels: Number of channels of a folder's images.

    Raises:
        ValueError: If a field does not fit the others. The error begins with the field's name.
    """

    name: str
    data_dir: str | os.PathLike[str] | None = None
    classes: Sequence[str] | None = None
    binary: bool = False
    images: str = IMAGES
    masks: str = MASKS
    ignore_class: int | None = UNLABELLED
    labels: Labels | LabelTable | None = None
    channels: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(
                f'`name` must be "pets", "synthetic" or the path of a folder, as a string. '
                f"Received: {self.name!r}."
            )
        object.__setattr__(self, "binary", boolean("binary", self.binary))
        if self.data_dir is not None and self.name != "pets":
            raise ValueError(
                f'`data_dir` must be None with the data "{self.name}": only "pets" reads it. '
                f"Received: {os.fspath(self.data_dir)!r}."
            )
        if self.name in NAMES:
            self._check_no_folder()
            return
        checked: dict[str, Any] = {
            "images": os.fspath(self.images),
            "masks": os.fspath(self.masks),
            "ignore_class": checked_ignore_class(self.ignore_class),
            "channels": integer("channels", self.channels, 1),
        }
        if self.labels is not None:
            checked["labels"] = checked_labels(self.labels)
        if self.classes is not None:
            limit = None if self.ignore_class is None else UNLABELLED
            checked["classes"] = checked_class_names("classes", self.classes, limit)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.binary and (self.classes is not None or self.labels is not None):
            name = "labels" if self.classes is None else "classes"
            raise ValueError(
                f"`binary` must be False with `{name}`: it merges the border of Oxford-IIIT Pet "
                "into the pet. Received: True. Merge classes with `labels` instead."
            )

    def _check_no_folder(self) -> None:
        """Refuses fields that say how to read a folder."""
        if self.classes is not None:
            raise ValueError(
                f'`classes` must be None with the data "{self.name}": its classes are '
                f"{', '.join(PET_CLASSES)}. Received: {self.classes!r}."
            )
        for name, default in FOLDER_SETTINGS.items():
            if getattr(self, name) != default:
                raise ValueError(
                    f'`{name}` must be {default!r} with the data "{self.name}": it is for a '
                    f"folder of images and masks. Received: {getattr(self, name)!r}."
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class. Reads a table of labels where there is one, and no image.

        Raises:
            FileNotFoundError: If the folder or the table is missing.
            ValueError: If a field does not fit the folder.
        """
        if self.binary and not self.is_shards:
            return BINARY_CLASSES
        return PET_CLASSES if self.name in NAMES else self._scheme().class_names

    @property
    def is_shards(self) -> bool:
        """Whether the data is a folder of shards."""
        return self.name not in NAMES and "train" in shard_paths(Path(self.name).expanduser())

    def meanings(self) -> dict[str, str | None]:
        """Tells what each label or colour means, where a table says so.

        Returns:
            For each label, such as "label 3", the name of its class, or None for no class. Empty
            without a table.

        Raises:
            FileNotFoundError: If the folder or the table is missing.
            ValueError: If a field does not fit the folder.
        """
        if self.name in NAMES:
            return {}
        scheme = self._scheme()
        if scheme.first_label is not None:
            return {}
        names = dict(enumerate(scheme.class_names))
        return {
            f"label {scheme.name(label)}": names.get(index)
            for label, index in scheme.stored.items()
        }

    def notes(self) -> tuple[str, ...]:
        """Describes how a folder is read, where its layout is not images and masks.

        Returns:
            Phrases such as "Images: train, masks: trainannot". Empty for pets.

        Raises:
            FileNotFoundError: If the folder or one that it must hold is missing.
            ValueError: If a field does not fit the folder.
        """
        if self.name in NAMES:
            return ()
        if self.is_shards:
            scheme, notes = self._scheme(), tuple[str, ...]()
        else:
            layout = find_layout(self._folder(), self.classes, **self._folder_arguments())
            scheme, notes = layout.scheme, layout.notes
        if scheme is TRIMAPS or scheme.first_label is not None:
            return notes
        return (*notes, f"Classes: {', '.join(scheme.class_names)}, from {scheme.table}")

    def splits(
        self,
        *,
        image_size: tuple[int, int] = (224, 224),
        batch_size: int = 16,
        augment: Augment = True,
        seed: int = 0,
        oversample: bool = False,
        cache: Cache | None = None,
    ) -> Splits:
        """Loads the batches of the three splits. "pets" downloads 800 MB unless it is there.

        Warns of masks like `petseg.load_folder`.

        Args:
            image_size: (height, width) in pixels that images and masks are resized to. The aspect
                ratio is not kept. Images are resampled bilinearly, masks by nearest neighbour.
            batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
            augment: How training images and masks are changed at random. "light" or True crops,
                flips and jitters colour. "strong" also makes scenes with small, several and partly
                hidden objects. False changes nothing. A `petseg.data.Augmentation` sets each
                strength. A function or preprocessing layers of Keras change images and masks, see
                `petseg.load_folder`.
            seed: Seed of the order of the training examples and of their augmentation, 0 or more.
                The synthetic pets are the same with every seed.
            oversample: Whether training images with rare classes come several times in an epoch,
                see `petseg.load_folder`. For shards, only with a cache.
            cache: Where training and validation images are kept once they are resized: "memory",
                the path of a folder, or False for nowhere. None means "memory", and False for
                shards.

        Returns:
            The batches, their class names and `ignore_class`.

        Raises:
            FileNotFoundError: If the folder or its files are missing, or the download fails.
            ValueError: If an argument is out of its range, or a field does not fit the folder.
        """
        class_names = self.class_names  # Its errors name the fields of this class.
        is_shards = self.is_shards
        if cache is None:
            cache = False if is_shards else MEMORY
        batching = Batching(image_size, batch_size, augment, seed, oversample, cache)
        if self.name not in NAMES and not is_shards:
            return load_folder(
                self._folder(),
                class_names=self.classes,
                **self._folder_arguments(),
                image_size=image_size,
                batch_size=batch_size,
                binary=self.binary,
                augment=augment,
                seed=seed,
                oversample=oversample,
                cache=cache,
            )
        ignore_class = self._scheme().ignore_class if is_shards else None
        return make_splits(self._records(), class_names, ignore_class, batching)

    def examples(self) -> dict[str, tf.data.Dataset]:
        """Reads the examples at their own sizes. "pets" downloads 800 MB unless it is there.

        Returns:
            For each of "train", "val" and "test" a dataset of dicts: `image` (uint8, `(H, W, 3)`),
            `mask` (uint8, `(H, W, 1)`, class indices, or `Splits.ignore_class`) and `file_name`.

        Raises:
            FileNotFoundError: If the folder or its files are missing, or the download fails.
            ValueError: If a field does not fit the folder, or a split is empty.
        """
        return {split: records.examples() for split, records in self._records().items()}

    def _records(self) -> dict[str, Records]:
        if self.name == "pets":
            found = pet_records(self.data_dir)
        elif self.name == "synthetic":
            found = synthetic_records(SYNTHETIC_EXAMPLES, SYNTHETIC_SEED)
        else:
            scheme = self._scheme()  # Its errors name the fields of this class.
            if self.is_shards:
                return shard_records(self._folder(), scheme, self.channels, SHUFFLE_BUFFER)
            layout = find_layout(self._folder(), self.classes, **self._folder_arguments())
            found = layout_records(self._folder(), layout, self.channels)
        if not self.binary:
            return found
        return {split: border_as_pet(records) for split, records in found.items()}

    def problems(self) -> list[Problem]:
        """Finds bad files and wrong labels. "pets" downloads 800 MB unless it is there.

        Returns:
            The problems, see `petseg.data.verify_folder`. Empty if nothing is wrong, and always for
            "synthetic".

        Raises:
            FileNotFoundError: If the folder is missing, or the download fails.
            ValueError: If a field does not fit the folder, or it holds shards.
        """
        if self.name == "pets":
            return verify_pets(data_dir=self.data_dir)
        if self.name == "synthetic":
            return []  # There are no files.
        if self.is_shards:
            raise ValueError(
                "`name` must be a folder of images and masks to list its problems. Received: "
                f"{self.name!r}, which holds shards. Check the folder that they were written from."
            )
        self._scheme()  # Its errors name the fields of this class.
        return verify_folder(self._folder(), class_names=self.classes, **self._folder_arguments())

    def describe(self) -> dict[str, SplitSummary]:
        """Counts the examples and their classes. Reads all examples.

        Returns:
            A summary for each of "train", "val" and "test".

        Raises:
            FileNotFoundError: If the folder or its files are missing, or the download fails.
            ValueError: If a field does not fit the folder, or a split is empty.
        """
        ignore_class = None if self.name in NAMES else self._scheme().ignore_class
        return describe(self.examples(), self.class_names, ignore_class)

    def _scheme(self) -> LabelScheme:
        if self.is_shards:
            for name in ("images", "masks"):
                if getattr(self, name) != FOLDER_SETTINGS[name]:
                    raise ValueError(
                        f"`{name}` must be {FOLDER_SETTINGS[name]!r} for shards. Received: "
                        f"{getattr(self, name)!r}."
                    )
            if self.binary:
                raise ValueError(
                    "`binary` must be False for shards: it merges the border of Oxford-IIIT Pet "
                    "into the pet. Received: True. Merge classes with `labels` instead."
                )
        return find_scheme(
            self._folder(),
            self.classes,
            ignore_class=self.ignore_class,
            labels=self.labels,
            name="classes",
        )

    def _folder_arguments(self) -> dict[str, Any]:
        """The arguments of `load_folder` that say how the folder is read."""
        return {name: getattr(self, name) for name in FOLDER_SETTINGS}

    def _folder(self) -> Path:
        folder = Path(self.name).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(
                f'`name` must be "pets", "synthetic" or the path of a folder. '
                f"Received: {self.name!r}, which is not a folder.{did_you_mean(self.name, NAMES)}"
            )
        return folder
