"""Masks from exported networks, with neither Keras nor TensorFlow.

`petseg` brings all of this under its own name. Where an exported network runs alone, this package
takes NumPy, Pillow and the network's runtime: `from petseg_runtime import Runtime`.
"""

from petseg_runtime.pictures import cutout, overlay
from petseg_runtime.runtime import Runtime

__all__ = ["Runtime", "cutout", "overlay"]
