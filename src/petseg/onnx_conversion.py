"""What tf2onnx needs to convert models of Keras."""

from collections.abc import Callable, Iterator
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
    - GELU and CELU: they have the operations `Erfc` and `Expm1`, which ONNX does not have.

    Args:
        model: The model, on TensorFlow.

    Yields:
        Nothing.
    """
    from tensorflow import config
    from tf2onnx.handler import tf_op

    tf_op("Erfc")(_Erfc)
    tf_op("Expm1")(_Expm1)
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
        _replace(graph, node, "Erf", lambda erf, one: [one, erf])


class _Expm1:
    """Converts the operation `Expm1`, which is exp(x) - 1."""

    @classmethod
    def version_6(cls, graph: Any, node: Any, **_: Any) -> None:
        """Replaces a node."""
        _replace(graph, node, "Exp", lambda exp, one: [exp, one])


def _replace(graph: Any, node: Any, name: str, difference: Callable[[str, str], list[str]]) -> None:
    """Replaces a node by the difference of a function of its input and 1."""
    dtype, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
    graph.remove_node(node.name)
    inner = graph.make_node(name, node.input, shapes=[shape], dtypes=[dtype])
    one = graph.make_const(f"{node.name}/one", np.float32(1))
    graph.make_node(
        "Sub",
        difference(inner.output[0], one.output[0]),
        name=node.name,
        outputs=node.output,
        shapes=[shape],
        dtypes=[dtype],
    )
