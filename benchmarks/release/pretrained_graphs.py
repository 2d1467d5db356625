"""Writes the ONNX graphs of the pretrained models, which hold no weights.

ONNX Runtime reads the weights of Keras in Keras's order and layout: the graph transposes kernels
and folds batch normalization itself, once, when a session is made. So the package holds each weight
once.

    python -m benchmarks.release.pretrained_graphs
"""

from pathlib import Path
from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx

import petseg
from benchmarks.common import bare_parser
from petseg.pretrained import array_names
from petseg_runtime.atomic_files import whole_file
from petseg_runtime.formats import FORMATS
from petseg_runtime.pretrained import FOLDER, pretrained_models, read_card

OPSET = 18


def write_graph(model: keras.Model, path: Path) -> None:
    """Writes a model without its weights.

    Args:
        model: A model of `petseg.MODELS`.
        path: The file to write.
    """
    names = array_names(model)

    def logits(images: tf.Tensor, *arrays: tf.Tensor) -> Any:
        given = {id(weight): array for weight, array in zip(model.weights, arrays, strict=True)}
        # The state of random number generators is no weight, and is not used here.
        trained = [given[id(variable)] for variable in model.trainable_variables]
        fixed = [given.get(id(variable), variable) for variable in model.non_trainable_variables]
        return model.stateless_call(trained, fixed, images, training=False)[0]

    signature = [tf.TensorSpec((None, None, None, 3), tf.float32, name="images")]
    for name, weight in zip(names, model.weights, strict=True):
        signature.append(tf.TensorSpec(weight.shape, tf.float32, name=name))
    function = tf.function(logits, input_signature=signature)
    graph, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    _without_weights(graph, names)
    with whole_file(path) as part:
        onnx.save(graph, part)
        FORMATS["onnx"].write_record(part, petseg.model_info(model).to_json())


def _without_weights(graph: onnx.ModelProto, names: list[str]) -> None:
    """Makes constants, to be given when the file is opened, of the inputs that are weights."""
    inputs = {given.name: given for given in graph.graph.input}
    for name in names:
        given = inputs[name].type.tensor_type
        constant = graph.graph.initializer.add(
            name=name,
            data_type=onnx.TensorProto.FLOAT,
            data_location=onnx.TensorProto.EXTERNAL,
            dims=[side.dim_value for side in given.shape.dim],
        )
        constant.external_data.add(key="location", value="given when the file is opened")
        graph.graph.input.remove(inputs[name])


def main() -> None:
    """Writes the graph of each pretrained model."""
    bare_parser(__doc__).parse_args()
    for name in pretrained_models():
        card = read_card(name)
        model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
        path = FOLDER / f"{name}.onnx"
        write_graph(model, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
