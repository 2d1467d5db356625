"""The architectures, one module for each paper, and `MODELS`, which lists them by name."""

from collections.abc import Callable

import keras

from petseg.models import deeplab, fcn, fpn, linknet, lraspp, pspnet, segnet, unet
from petseg.weight_transfer import WeightsWarning

MODELS: dict[str, Callable[..., keras.Model]] = {
    "unet": unet.unet,
    "fcn8": fcn.fcn8,
    "fcn16": fcn.fcn16,
    "fcn32": fcn.fcn32,
    "segnet": segnet.segnet,
    "pspnet": pspnet.pspnet,
    "deeplabv3": deeplab.deeplabv3,
    "deeplabv3_plus": deeplab.deeplabv3_plus,
    "fpn": fpn.fpn,
    "linknet": linknet.linknet,
    "lraspp": lraspp.lraspp,
}

__all__ = ["MODELS", "WeightsWarning"]
