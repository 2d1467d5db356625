"""Semantic segmentation models in Keras 3, for images of any size."""

from importlib.metadata import version

from petseg.backbones import BACKBONES, Backbone
from petseg.calibration import calibrate
from petseg.data import PET_CLASSES, Splits, load_folder, load_pets, load_shards, synthetic_pets
from petseg.devices import data_parallel
from petseg.evaluation import Evaluation, evaluate
from petseg.exporting import export
from petseg.losses import CrossEntropyDice, OneHotLoss
from petseg.mask_logger import MaskLogger
from petseg.metrics import MeanIoU
from petseg.model_records import model_info
from petseg.models import MODELS
from petseg.models.deeplab import deeplabv3, deeplabv3_plus
from petseg.models.fcn import fcn8, fcn16, fcn32
from petseg.models.fpn import fpn
from petseg.models.linknet import linknet
from petseg.models.lraspp import lraspp
from petseg.models.pspnet import pspnet
from petseg.models.segnet import segnet
from petseg.models.unet import unet
from petseg.plots import plot_history
from petseg.prediction import predict
from petseg.training import finetune
from petseg_runtime import ModelInfo, Prediction, Runtime, cutout, overlay

__version__ = version("petseg")

__all__ = [
    "BACKBONES",
    "MODELS",
    "PET_CLASSES",
    "Backbone",
    "CrossEntropyDice",
    "Evaluation",
    "MaskLogger",
    "MeanIoU",
    "ModelInfo",
    "OneHotLoss",
    "Prediction",
    "Runtime",
    "Splits",
    "calibrate",
    "cutout",
    "data_parallel",
    "deeplabv3",
    "deeplabv3_plus",
    "evaluate",
    "export",
    "fcn8",
    "fcn16",
    "fcn32",
    "finetune",
    "fpn",
    "linknet",
    "load_folder",
    "load_pets",
    "load_shards",
    "lraspp",
    "model_info",
    "overlay",
    "plot_history",
    "predict",
    "pspnet",
    "segnet",
    "synthetic_pets",
    "unet",
]
