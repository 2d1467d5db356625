"""`DataSource`: a dataset by its name, for the command line and for experiments."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from petseg.data.augmentation import Augmentation
from petseg.data.folder import folder_examples
from petseg.data.folder_layout import checked_class_names, resolve_class_names
from petseg.data.loaders import load_folder
from petseg.data.oxford_pets import BINARY_CLASSES, PET_CLASSES, border_as_pet, pet_examples
from petseg.data.pipeline import Batching
from petseg.data.splits import Splits, make_splits
from petseg.data.statistics import SplitSummary, describe
from petseg.data.synthetic import synthetic_examples
from petseg.data.verify import Problem, verify_folder, verify_pets
from petseg_runtime.validation import boolean, did_you_mean

NAMES = ("pets", "synthetic")

# The synthetic pets of a `DataSource` are always the same.
SYNTHETIC_EXAMPLES = 96
SYNTHETIC_SEED = 0


@dataclass(frozen=True)
class DataSource:
    """The name of a dataset and the settings needed to load it.

    Creating a `DataSource` reads and downloads nothing. Its methods do.

    Attributes:
        name: "pets" (Oxford-IIIT Pet), "synthetic" (96 synthetic pets, always the same), or the
            path of a folder as `petseg.load_folder` takes it. A folder that is itself called
            "pets" or "synthetic" is written "./pets".
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`. For "pets" only.
        classes: Name of each class in your own masks, in the order of the labels: 2 to 255
            different names. For a folder only; None for the official archives.
        binary: Whether to merge the border of the pets into the pet, which leaves the classes
            0 pet and 1 background. Not for masks of your own.

    Raises:
        ValueError: If a field does not fit the others. The error begins with the field's name.
    """

    name: str
    data_dir: str | os.PathLike[str] | None = None
    classes: Sequence[str] | None = None
    binary: bool = False

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
        if self.classes is None:
            return
        if self.name in NAMES:
            raise ValueError(
                f'`classes` must be None with the data "{self.name}": its classes are '
                f"{', '.join(PET_CLASSES)}. Received: {self.classes!r}."
            )
        object.__setattr__(self, "classes", checked_class_names("classes", self.classes))
        if self.binary:
            raise ValueError(
                "`binary` must be False with `classes`: it merges the border of Oxford-IIIT Pet "
                "into the pet. Received: True. Merge classes in your masks instead."
            )

    def splits(
        self,
        *,
        image_size: tuple[int, int] = (224, 224),
        batch_size: int = 16,
        augment: bool | str | Augmentation = True,
        seed: int = 0,
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
                strength.
            seed: Seed of the order of the training examples and of their augmentation, 0 or more.
                The synthetic pets are the same with every seed.

        Returns:
            The batches, their class names, and `ignore_class` 255 for masks of your own.

        Raises:
            FileNotFoundError: If the folder or its files are missing, or the download fails.
            ValueError: If an argument is out of its range, or a field does not fit the folder.
        """
        class_names = self._class_names()  # Its errors name the fields of this class.
        if self.name not in NAMES:
            return load_folder(
                self._folder(),
                class_names=self.classes,
                image_size=image_size,
                batch_size=batch_size,
                binary=self.binary,
                augment=augment,
                seed=seed,
            )
        batching = Batching(image_size, batch_size, augment, seed)
        return make_splits(self.examples(), class_names, None, batching)

    def examples(self) -> dict[str, tf.data.Dataset]:
        """Reads the examples at their own sizes. "pets" downloads 800 MB unless it is there.

        Returns:
            For each of "train", "val" and "test" a dataset of dicts: `image` (uint8, `(H, W, 3)`),
            `mask` (uint8, `(H, W, 1)`, class indices, and 255 where unlabelled) and `file_name`.

        Raises:
            FileNotFoundError: If the folder or its files are missing, or the download fails.
            ValueError: If a field does not fit the folder, or a split is empty.
        """
        if self.name == "pets":
            examples = pet_examples(self.data_dir)
        elif self.name == "synthetic":
            examples = synthetic_examples(SYNTHETIC_EXAMPLES, SYNTHETIC_SEED)
        else:
            self._class_names()  # Its errors name the fields of this class.
            examples = folder_examples(self._folder(), self.classes)
        if not self.binary:
            return examples
        return {split: border_as_pet(dataset) for split, dataset in examples.items()}

    def problems(self) -> list[Problem]:
        """Finds bad files and wrong labels. "pets" downloads 800 MB unless it is there.

        Returns:
            The problems, see `petseg.data.verify_folder`. Empty if nothing is wrong, and always for
            "synthetic".

        Raises:
            FileNotFoundError: If the folder is missing, or the download fails.
            ValueError: If a field does not fit the folder.
        """
        if self.name == "pets":
            return verify_pets(data_dir=self.data_dir)
        if self.name == "synthetic":
            return []  # There are no files.
        self._class_names()  # Its errors name the fields of this class.
        return verify_folder(self._folder(), class_names=self.classes)

    def describe(self) -> dict[str, SplitSummary]:
        """Counts the examples and their classes. Reads all examples.

        Returns:
            A summary for each of "train", "val" and "test".

        Raises:
            FileNotFoundError: If the folder or its files are missing, or the download fails.
            ValueError: If a field does not fit the folder, or a split is empty.
        """
        return describe(self.examples(), self._class_names())

    def _class_names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = PET_CLASSES
        if self.name not in NAMES:
            names = resolve_class_names(self._folder(), self.classes, name="classes")
        return BINARY_CLASSES if self.binary else names

    def _folder(self) -> Path:
        folder = Path(self.name).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(
                f'`name` must be "pets", "synthetic" or the path of a folder. '
                f"Received: {self.name!r}, which is not a folder.{did_you_mean(self.name, NAMES)}"
            )
        return folder
