"""Stand-in for `DataSource` until the data module is merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from petseg.data.folder import folder_examples
from petseg.data.loaders import Splits, load_folder, load_pets, synthetic_pets
from petseg.data.oxford_pets import pet_examples
from petseg.data.synthetic import synthetic_examples
from petseg.data.verify import Problem, verify_folder, verify_pets

SYNTHETIC_EXAMPLES = 96
SYNTHETIC_SEED = 0


@dataclass(frozen=True)
class DataSource:
    """Where data comes from."""

    name: str
    data_dir: Path | None = None
    classes: Sequence[str] | None = None
    binary: bool = False

    def splits(self, **batching: Any) -> Splits:
        """The batches."""
        if self.name == "pets":
            return load_pets(data_dir=self.data_dir, binary=self.binary, **batching)
        if self.name == "synthetic":
            return synthetic_pets(SYNTHETIC_EXAMPLES, binary=self.binary, **batching)
        return load_folder(self.name, class_names=self.classes, binary=self.binary, **batching)

    def examples(self) -> Mapping[str, tf.data.Dataset]:
        """The examples at their own sizes."""
        if self.name == "pets":
            return pet_examples(self.data_dir)
        if self.name == "synthetic":
            return synthetic_examples(SYNTHETIC_EXAMPLES, SYNTHETIC_SEED)
        return folder_examples(self.name, self.classes)

    def problems(self) -> list[Problem]:
        """Every bad file."""
        if self.name == "pets":
            return verify_pets(data_dir=self.data_dir)
        if self.name == "synthetic":
            return []
        return verify_folder(self.name, class_names=self.classes)
