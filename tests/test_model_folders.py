"""Folders of models for TensorFlow Serving and Triton, read as these servers read them."""

import dataclasses
import http.server
import json
import re
import threading
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tiny import tiny_model

import petseg
from petseg.data import draw_pet
from petseg.exporting import export
from petseg_runtime.formats import FORMATS
from petseg_runtime.model_folders import SERVERS, add_version

PAGE = Path(__file__).parents[1] / "docs" / "serving.md"

# The part of Triton's message that petseg writes, with its own numbers: model_config.proto of
# https://github.com/triton-inference-server/common. Its Python package needs other versions of
# protobuf than TensorFlow.
MODEL_CONFIG = """
name: "model_config.proto" package: "inference" syntax: "proto3"
enum_type { name: "DataType"
  value { name: "TYPE_INVALID" number: 0 }
  value { name: "TYPE_INT32" number: 8 }
  value { name: "TYPE_FP32" number: 11 } }
message_type { name: "ModelInput"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "data_type" number: 2 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: "DataType" }
  field { name: "dims" number: 4 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "ModelOutput"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "data_type" number: 2 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: "DataType" }
  field { name: "dims" number: 3 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "ModelDynamicBatching" }
message_type { name: "ModelConfig"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "backend" number: 17 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "max_batch_size" number: 4 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "input" number: 5 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "ModelInput" }
  field { name: "output" number: 6 label: LABEL_REPEATED type: TYPE_MESSAGE
    type_name: "ModelOutput" }
  field { name: "dynamic_batching" number: 11 label: LABEL_OPTIONAL type: TYPE_MESSAGE
    type_name: "ModelDynamicBatching" } }
"""
NUMPY_TYPES = {8: np.int32, 11: np.float32}


def read_config(path):
    """Parses a `config.pbtxt`; a field or a type that Triton does not have is an error."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(MODEL_CONFIG, descriptor_pb2.FileDescriptorProto()))
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    return text_format.Parse(path.read_text("utf-8"), message())


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def photos(count, height=33, width=47):
    rng = np.random.default_rng(count)
    return rng.uniform(0, 255, (count, height, width, 3)).astype("float32")


def wanted(model, images, argmax):
    logits = model.predict_on_batch(images)
    return logits.argmax(-1) if argmax else logits


def check(given, expected, argmax):
    if argmax:
        assert given.shape == expected.shape
        assert (given != expected).mean() < 0.001
    else:
        np.testing.assert_allclose(given, expected, atol=1e-3)


@pytest.mark.parametrize("argmax", [False, True])
def test_tensorflow_serving_finds_its_signature(argmax, model, tmp_path):
    path = export(model, tmp_path / "models" / "tiny", serving="tensorflow", argmax=argmax)
    assert path == tmp_path / "models" / "tiny" / "1"
    assert petseg.model_info(path) == petseg.model_info(model).replace(argmax=argmax)
    graphs = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (graph,) = graphs.meta_graphs
    assert list(graph.meta_info_def.tags) == ["serve"]
    signature = graph.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    ((name, given),) = signature.inputs.items()
    ((output, _),) = signature.outputs.items()
    assert given.dtype == tf.float32.as_datatype_enum
    assert [side.size for side in given.tensor_shape.dim] == [-1, -1, -1, 3]
    loaded = tf.saved_model.load(str(path), tags=["serve"])
    for count in (1, 3):
        images = photos(count)
        found = loaded.signatures["serving_default"](**{name: tf.constant(images)})[output]
        check(found.numpy(), wanted(model, images, argmax), argmax)


@pytest.mark.parametrize("argmax", [False, True])
def test_triton_finds_what_its_configuration_says(argmax, model, tmp_path):
    path = export(model, tmp_path / "models" / "tiny", serving="triton", argmax=argmax)
    assert path == tmp_path / "models" / "tiny" / "1" / "model.onnx"
    assert petseg.model_info(path) == petseg.model_info(model).replace(argmax=argmax)
    config = read_config(path.parents[1] / "config.pbtxt")
    assert (config.name, config.backend) == ("", "onnxruntime")  # the name is that of the folder
    assert config.HasField("dynamic_batching")
    graph = onnx.load(path).graph
    for described, tensors in ((config.input, graph.input), (config.output, graph.output)):
        ((own,), (tensor,)) = (described, tensors)
        kind = tensor.type.tensor_type
        assert own.name == tensor.name
        assert NUMPY_TYPES[own.data_type] == onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        # For a batch, Triton puts -1 before the dimensions.
        sides = [side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim]
        assert [-1, *own.dims] == sides
    assert list(config.input[0].dims) == [-1, -1, 3]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 3, config.max_batch_size):
        images = photos(count)
        (found,) = session.run([config.output[0].name], {config.input[0].name: images})
        assert found.dtype == NUMPY_TYPES[config.output[0].data_type]
        check(found, wanted(model, images, argmax), argmax)


def test_a_fixed_size_is_in_the_configuration(tmp_path):
    images = keras.Input((64, 96, 3))
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    export(model, tmp_path / "fixed", serving="triton")
    config = read_config(tmp_path / "fixed" / "config.pbtxt")
    assert list(config.input[0].dims) == [64, 96, 3]
    assert list(config.output[0].dims) == [64, 96, 2]


@pytest.mark.parametrize("serving", SERVERS)
def test_each_export_is_a_new_version(serving, model, tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / ".part-left").touch()
    assert export(model, folder, serving=serving).relative_to(folder).parts[0] == "1"
    (folder / "1").rename(folder / "41")
    (folder / "README.md").write_text("mine")
    config = folder / "config.pbtxt"
    if serving == "triton":
        config.write_text(config.read_text() + "instance_group [ { count: 2 } ]\n")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    path = export(model, folder, serving=serving)
    assert path == folder / "42" / SERVERS[serving].file
    assert petseg.Runtime(path).class_names == petseg.model_info(model).class_names
    assert {file: file.read_bytes() for file in before} == before  # what the user changed, too


def test_a_version_that_does_not_fit_the_configuration_is_refused(model, tmp_path):
    folder = tmp_path / "tiny"
    export(model, folder, serving="triton")
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match=r"inputs and outputs of the earlier ones, which .*pbtxt"):
        export(model, folder, serving="triton", argmax=True)
    assert sorted(folder.rglob("*")) == before


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as TensorFlow Serving and Triton do to JSON, for the newest version of a model."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/models/unet:predict":
            images = tf.constant(request["instances"], tf.float32)
            loaded = tf.saved_model.load("models/unet/1")
            (logits,) = loaded.signatures["serving_default"](images).values()
            answer = {"predictions": logits.numpy().tolist()}
        else:
            assert self.path == "/v2/models/unet/infer"
            (given,) = request["inputs"]
            assert given["datatype"] == "FP32"
            images = np.array(given["data"], np.float32).reshape(given["shape"])
            session = onnxruntime.InferenceSession("models/unet/1/model.onnx")
            (logits,) = session.run(None, {given["name"]: images})
            name = session.get_outputs()[0].name
            output = {"name": name, "datatype": "FP32", "shape": logits.shape}
            answer = {"outputs": [{**output, "data": logits.ravel().tolist()}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("serving", "port"), [("tensorflow", 8501), ("triton", 8000)])
def test_the_client_of_the_page_gets_the_mask(serving, port, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = keras.Input((None, None, 3), name="images")
    model = keras.Model(images, model(images))
    export(model, "models/unet", serving=serving)
    Image.fromarray(draw_pet(0)[0]).save("cat.jpg")
    blocks = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if f"localhost:{port}" in block)
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        names = {}
        exec(block.replace(f"localhost:{port}", f"127.0.0.1:{server.server_port}"), names)
        server.shutdown()
    assert (names["mask"] != petseg.predict(model, "cat.jpg")).mean() < 0.001


def test_versions_of_two_processes_are_whole(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    written = []

    def add(index):
        exported = tmp_path / f"part-{index}"
        exported.mkdir()
        (exported / "saved_model.pb").write_text(str(index))
        written.append(add_version(exported, folder, SERVERS["tensorflow"]))

    threads = [threading.Thread(target=add, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(path.name) for path in written) == list(range(1, 13))
    texts = {(path / "saved_model.pb").read_text() for path in written}
    assert texts == {str(index) for index in range(12)}


def test_a_file_that_is_wrong_in_batches_is_refused(model, tmp_path, monkeypatch):
    row = FORMATS["onnx"]
    # For one image, this model is right.
    first = keras.Model(model.input, keras.ops.zeros_like(model.output) + model.output[:1, :])
    first(photos(1))

    def write_record(path, record):
        first.export(path, format="onnx", verbose=False)
        row.write_record(path, record)

    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(row, write_record=write_record))
    assert export(model, tmp_path / "single.onnx").is_file()
    with pytest.raises(ValueError, match=r"differs from `model` by .* in a logit"):
        export(model, tmp_path / "new" / "deep", serving="triton")
    assert [path.name for path in tmp_path.iterdir()] == ["single.onnx"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("new", {"serving": "torch"}, "`serving` must be one of .*'torch'"),
        ("new", {"serving": "triton", "format": "saved_model"}, "`format` must be 'onnx' or left"),
        ("new", {"serving": "tensorflow", "format": "onnx"}, "`format` must be 'saved_model' or"),
        ("new", {"serving": "triton", "quantize": "float16"}, "`quantize` is available for LiteRT"),
        ("unet.onnx", {"serving": "triton"}, r"`path` must be the folder of the model where `ser"),
        ("file", {"serving": "triton"}, r"Received: '.*file', which is a file"),
        ("taken", {"serving": "triton"}, r"`path` must be new, .*which holds thesis\.tex"),
        ("other", {"serving": "triton"}, r"`path` must be new, .*which holds 1, 2, notes\."),
        ("other", {"serving": "tensorflow"}, r"`path` must be new, .*which holds 1, 2, notes\."),
    ],
)
def test_what_cannot_be_a_folder_of_models_is_refused(name, arguments, message, model, tmp_path):
    (tmp_path / "file").touch()
    for folder in ("taken", "other/1", "other/2", "other/notes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "taken" / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        export(model, tmp_path / name, **arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_inside_a_file_is_refused(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file"):
        export(model, tmp_path / "file" / "unet", serving="triton")


def test_a_model_of_one_batch_size_is_refused(tmp_path):
    images = keras.Input(batch_shape=(1, None, None, 3))
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    with pytest.raises(ValueError, match="Received: a model of batches of 1"):
        export(model, tmp_path / "unet", serving="triton")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_another_server_is_refused(model, tmp_path):
    export(model, tmp_path / "tiny", serving="triton")
    with pytest.raises(ValueError, match=r"exported for the same server.*which holds 1, config"):
        export(model, tmp_path / "tiny", serving="tensorflow")
