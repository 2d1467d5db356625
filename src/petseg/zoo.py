"""Every architecture of petseg, by name."""

from collections.abc import Callable

import keras

from petseg.models.deeplab import deeplabv3, deeplabv3_plus
from petseg.models.fcn import fcn8, fcn16, fcn32
from petseg.models.pspnet import pspnet
from petseg.models.segnet import segnet
from petseg.models.unet import unet

MODELS: dict[str, Callable[..., keras.Model]] = {
    "unet": unet,
    "fcn8": fcn8,
    "fcn16": fcn16,
    "fcn32": fcn32,
    "segnet": segnet,
    "pspnet": pspnet,
    "deeplabv3": deeplabv3,
    "deeplabv3_plus": deeplabv3_plus,
}
