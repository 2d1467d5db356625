"""Datasets for training and evaluation: Oxford-IIIT Pet, your own folders, synthetic pets."""

from petseg.data.augmentation import LIGHT, STRONG, Augmentation
from petseg.data.convert import convert_labels
from petseg.data.folder import folder_examples
from petseg.data.label_checks import LabelWarning
from petseg.data.loaders import load_folder, load_pets, load_shards, synthetic_pets
from petseg.data.oxford_pets import BINARY_CLASSES, PET_CLASSES, pet_examples
from petseg.data.shard_writer import write_shards
from petseg.data.source import DataSource
from petseg.data.splits import Splits
from petseg.data.statistics import SplitSummary, describe
from petseg.data.synthetic import draw_pet, synthetic_examples
from petseg.data.verify import Problem, verify_folder, verify_pets

__all__ = [
    "BINARY_CLASSES",
    "LIGHT",
    "PET_CLASSES",
    "STRONG",
    "Augmentation",
    "DataSource",
    "LabelWarning",
    "Problem",
    "SplitSummary",
    "Splits",
    "convert_labels",
    "describe",
    "draw_pet",
    "folder_examples",
    "load_folder",
    "load_pets",
    "load_shards",
    "pet_examples",
    "synthetic_examples",
    "synthetic_pets",
    "verify_folder",
    "verify_pets",
    "write_shards",
]
