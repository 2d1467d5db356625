"""Semantic segmentation models in Keras 3: compiled, of any image size, right on a CPU."""

from importlib.metadata import version

from petseg.backbones import BACKBONES
from petseg.data import PET_CLASSES, Splits, load_folder, load_pets, synthetic_pets
from petseg.evaluation import Evaluation, evaluate
from petseg.exporting import export
from petseg.losses import CrossEntropyDice
from petseg.metrics import MeanIoU
from petseg.models.deeplab import deeplabv3, deeplabv3_plus
from petseg.models.fcn import fcn8, fcn16, fcn32
from petseg.models.pspnet import pspnet
from petseg.models.segnet import segnet
from petseg.models.unet import unet
from petseg.prediction import predict
from petseg.report import plot_history
from petseg.training import finetune
from petseg.zoo import MODELS
from petseg_runtime import Runtime, cutout, overlay

__version__ = version("petseg")

__all__ = [
    "BACKBONES",
    "MODELS",
    "PET_CLASSES",
    "CrossEntropyDice",
    "Evaluation",
    "MeanIoU",
    "Runtime",
    "Splits",
    "cutout",
    "deeplabv3",
    "deeplabv3_plus",
    "evaluate",
    "export",
    "fcn8",
    "fcn16",
    "fcn32",
    "finetune",
    "load_folder",
    "load_pets",
    "overlay",
    "plot_history",
    "predict",
    "pspnet",
    "segnet",
    "synthetic_pets",
    "unet",
]
