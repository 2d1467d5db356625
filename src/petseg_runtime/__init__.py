"""Masks from exported models, with neither Keras nor TensorFlow.

Where an exported model runs alone, this package needs NumPy, Pillow and the runtime of the format:
`from petseg_runtime import Runtime`. `petseg` exports the same names.
"""

from petseg_runtime.cutouts import cutout
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.overlays import overlay
from petseg_runtime.predictor import Prediction
from petseg_runtime.runtime import Runtime

__all__ = ["ModelInfo", "Prediction", "Runtime", "cutout", "overlay"]
