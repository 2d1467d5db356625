"""Where a command's data comes from: the pets, drawn pets, or a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

    from petseg.data import Problem, Splits

SYNTHETIC_EXAMPLES = 96
SYNTHETIC_SEED = 0


@dataclass(frozen=True)
class Source:
    """What `--data`, `--data-dir`, `--classes` and `--binary` say."""

    name: str
    data_dir: Path | None = None
    classes: Sequence[str] | None = None
    binary: bool = False

    @property
    def ignore_class(self) -> int | None:
        """The label of no class: 255 in masks of one's own."""
        return None if self.classes is None else 255

    def splits(self, **batching: Any) -> "Splits":
        """The batches, as the loader of this source makes them."""
        import petseg

        if self.name == "pets":
            return petseg.load_pets(data_dir=self.data_dir, binary=self.binary, **batching)
        if self.name == "synthetic":
            return petseg.synthetic_pets(SYNTHETIC_EXAMPLES, binary=self.binary, **batching)
        return petseg.load_folder(
            self.name, class_names=self.classes, binary=self.binary, **batching
        )

    def examples(self) -> "Mapping[str, tf.data.Dataset]":
        """The examples of each split at their own sizes, with all classes."""
        from petseg.data import folder_examples, pet_examples, synthetic_examples

        if self.name == "pets":
            return pet_examples(self.data_dir)
        if self.name == "synthetic":
            return synthetic_examples(SYNTHETIC_EXAMPLES, SYNTHETIC_SEED)
        return folder_examples(self.name, self.classes)

    def problems(self) -> "list[Problem]":
        """Every bad file."""
        from petseg.data import verify_folder, verify_pets

        if self.name == "pets":
            return verify_pets(data_dir=self.data_dir)
        if self.name == "synthetic":
            return []  # There are no files.
        return verify_folder(self.name, class_names=self.classes)
