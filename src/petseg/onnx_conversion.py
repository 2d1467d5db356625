"""What tf2onnx needs to convert models of Keras."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


@contextmanager
def convertible(model: keras.Model) -> Iterator[None]:
    """Lets tf2onnx 1.17 convert layers of Keras 3.15 that it does not know or gets wrong.

    - A convolution with groups: Keras compiles it by itself, which tf2onnx writes as a node that
      ONNX does not have. Such functions become part of the graph.
    - `Normalization` with constants: they became inputs of the ONNX model. They are NumPy arrays
      meanwhile, which TensorFlow puts into the graph.
    - GELU: it has the operation `Erfc`, which tf2onnx does not know.

    Args:
        model: The model, on TensorFlow.

    Yields:
        Nothing.
    """
    from tensorflow import config
    from tf2onnx.handler import tf_op

    tf_op("Erfc")(_Erfc)
    normalizing = [
        (layer, layer.mean, layer.variance)
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Normalization) and layer.mean is not None
    ]
    ran_eagerly = config.functions_run_eagerly()
    config.run_functions_eagerly(True)
    for layer, mean, variance in normalizing:
        layer.mean, layer.variance = np.asarray(mean), np.asarray(variance)
    try:
        yield
    finally:
        config.run_functions_eagerly(ran_eagerly)
        for layer, mean, variance in normalizing:
            layer.mean, layer.variance = mean, variance


class _Erfc:
    """Converts the operation `Erfc`, which is 1 - erf(x)."""

    @classmethod
    def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
        """Replaces a node. ONNX has `Erf` since opset 9."""
        dtype, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
        graph.remove_node(node.name)
        erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
        one = graph.make_const(f"{node.name}/one", np.float32(1))
        graph.make_node(
            "Sub",
            [one.output[0], erf.output[0]],
            name=node.name,
            outputs=node.output,
            shapes=[shape],
            dtypes=[dtype],
        )
