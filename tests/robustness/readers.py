"""Every reader of petseg, with good files for it: the table that the fuzzing goes through."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from robustness import corpus, damage
from robustness.corpus import GoodFile

MIB = 2**20


@dataclass(frozen=True)
class Reader:
    """A row of `READERS`.

    Attributes:
        files: Makes the good files.
        read: Reads a damaged one.
        operations: How files are damaged.
        share: Share of this reader in a run of all.
        memory: Bytes by which the peak of the process may grow in one case.
        is_native: Whether a runtime in C++ reads the file, which may end the process.
    """

    files: Callable[[], list[GoodFile]]
    read: Callable[[Path], object]
    operations: tuple[Any, ...]
    share: float
    memory: int = 256 * MIB
    is_native: bool = False


def _read_image(path: Path) -> object:
    from petseg_runtime.image_io import read_image

    pixels = read_image(path)
    assert pixels.dtype == np.uint8, pixels.dtype
    assert pixels.ndim == 3, pixels.shape
    assert pixels.shape[2] == 3, pixels.shape
    assert pixels.size, pixels.shape
    return pixels


def _read_labels(path: Path) -> object:
    from petseg.data.masks import read_labels

    labels = read_labels(path)
    assert labels.ndim == 3, labels.shape
    assert labels.dtype.kind in "iub", labels.dtype
    return labels


def _read_record(path: Path) -> object:
    from petseg_runtime import ModelInfo

    try:
        info = ModelInfo.from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error  # it is given a text, not a file
    assert ModelInfo.from_json(info.to_json()) == info
    return info


def _read_info(path: Path) -> object:
    from petseg_runtime.runtime import read_model_info

    info = read_model_info(path)
    assert all(isinstance(name, str) for name in info.class_names)
    return info


def _run(path: Path) -> object:
    from petseg_runtime import Runtime

    runtime = Runtime(path)
    size = [side or 32 for side in runtime.input_size]
    if max(size) > 64:
        return runtime
    try:
        return runtime(np.zeros((1, *size, 3), np.float32))
    except Exception as error:
        raise ValueError(f"{path.name}: {error}") from error


def _read_result(path: Path) -> object:
    from petseg.experiment import Result

    return Result.load(path.parent)


def _read_evaluation(path: Path) -> object:
    from petseg import Evaluation

    scores = Evaluation.from_json(path)
    str(scores)
    scores.to_json()
    return scores


def _read_history(path: Path) -> object:
    from petseg.plots import plot_history

    figure = plot_history(path)
    figure.clear()
    return figure


def _read_run(path: Path) -> object:
    from petseg.checkpoint import Run

    with Run.open(path.parent) as run:
        run.use_settings("training", {"epochs": 3, "seed": None})
        if run.epoch:
            run.restore(_dense(), optimizer=True)
        run.history()
        return run.state


def _read_weights(path: Path) -> object:
    from petseg.weight_files import load_file

    load_file(_dense(), path)
    return None


@cache
def _dense() -> Any:
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="dense")
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _read_folder(path: Path) -> object:
    """Everything that lists or reads a folder of images."""
    import tensorflow as tf

    import petseg
    from petseg.data.verify import verify_folder
    from petseg_cli.errors import one_line
    from petseg_cli.prediction_inputs import find_inputs
    from petseg_runtime.image_io import find_images, read_image
    from petseg_runtime.predictor import Predictor

    for problem in verify_folder(path, class_names=("a", "b")):
        str(problem).encode("utf-8", "surrogateescape")
    photos = find_inputs([path]).photos
    assert len(photos) <= len(find_images(path))
    info = petseg.ModelInfo(("a", "b"))
    predictor = Predictor(lambda x: np.zeros((*x.shape[:3], 2)), info, (32, 32))
    for found in predictor.files(photos):
        assert (found.mask is None) != (found.error is None)
        if found.error is not None:
            assert str(found.path) in str(found.error), found.error
        else:
            assert found.mask.shape == read_image(found.path).shape[:2]
    try:
        splits = petseg.load_folder(path, class_names=("a", "b"), image_size=(32, 32))
        return [len(images) for images, _ in splits.val]
    except tf.errors.OpError as error:
        raise ValueError(one_line(error)) from error


# The model and what was exported of it, which the parent makes.
MODELS = Path(os.environ.get("PETSEG_ROBUSTNESS_MODELS", "."))


def _weights_files() -> list[GoodFile]:
    path = MODELS / "dense.weights.h5"
    return [GoodFile(path.name, path.read_bytes())]


def _runs() -> list[GoodFile]:
    """A run of two epochs: its state, and each of its weights files."""
    folder = MODELS / "run"

    def written(name: str) -> Callable[[Path, bytes], None]:
        def write(path: Path, data: bytes) -> None:
            for file in folder.iterdir():
                shutil.copy(file, path.with_name(file.name))
            (path.parent / name).write_bytes(data)

        return write

    return [
        GoodFile("run.json", file.read_bytes(), written(file.name))
        for file in sorted(folder.iterdir())
        if file.suffix in (".json", ".h5")
    ]


def _exported_records() -> list[GoodFile]:
    from petseg_runtime.formats import FORMATS

    def written(source: Path, name: str) -> Callable[[Path, bytes], None]:
        def write(path: Path, data: bytes) -> None:
            if source.is_dir():
                shutil.copytree(source, path)
                (path / "assets.extra" / "petseg.json").write_bytes(data)
                return
            shutil.copy(source, path)
            if source.suffix == ".xml":
                shutil.copy(source.with_suffix(".bin"), path.with_suffix(".bin"))
            FORMATS[name].write_record(path, data.decode("utf-8", "replace").replace("\0", " "))

        return write

    # OpenVINO keeps only what XML can hold, and the archive of LiteRT is damaged as a whole below.
    return [
        GoodFile("model.onnx", corpus.record(), written(MODELS / "bare.onnx", "onnx")),
        GoodFile("model", corpus.record(), written(MODELS / "saved_model", "saved_model")),
    ]


def _exported(name: str) -> Callable[[], list[GoodFile]]:
    def files() -> list[GoodFile]:
        path = MODELS / name

        def write_bin(target: Path, data: bytes) -> None:
            shutil.copy(path, target)
            target.with_suffix(".bin").write_bytes(data)

        def write_xml(target: Path, data: bytes) -> None:
            target.write_bytes(data)
            shutil.copy(path.with_suffix(".bin"), target.with_suffix(".bin"))

        if path.suffix == ".xml":
            return [
                GoodFile(path.name, path.with_suffix(".bin").read_bytes(), write_bin),
                GoodFile(path.name, path.read_bytes(), write_xml),
            ]
        if path.is_dir():

            def written(name: Path) -> Callable[[Path, bytes], None]:
                def write(target: Path, data: bytes) -> None:
                    shutil.copytree(path, target)
                    (target / name).write_bytes(data)

                return write

            return [
                GoodFile("model", file.read_bytes(), written(file.relative_to(path)))
                for file in sorted(path.rglob("*"))
                if file.is_file()
            ]
        return [GoodFile(path.name, path.read_bytes())]

    return files


READERS: dict[str, Reader] = {
    "image": Reader(corpus.images, _read_image, damage.IMAGE, 0.3, memory=2200 * MIB),
    "mask": Reader(corpus.masks, _read_labels, damage.IMAGE, 0.12, memory=2200 * MIB),
    "folder": Reader(corpus.folders, _read_folder, damage.FOLDER, 0.03),
    "record": Reader(
        lambda: [GoodFile("record.json", corpus.record())], _read_record, damage.JSON, 0.1
    ),
    "keras": Reader(
        lambda: corpus.keras_files(MODELS / "small.keras"), _read_info, damage.JSON, 0.08
    ),
    "result": Reader(lambda: corpus.json_files()["result"], _read_result, damage.JSON, 0.06),
    "evaluation": Reader(
        lambda: corpus.json_files()["evaluation"], _read_evaluation, damage.JSON, 0.06
    ),
    "run": Reader(_runs, _read_run, damage.JSON, 0.08),
    "history": Reader(lambda: corpus.json_files()["history"], _read_history, damage.BYTES, 0.02),
    "weights": Reader(_weights_files, _read_weights, damage.BYTES, 0.06, is_native=True),
    "exported record": Reader(_exported_records, _run, damage.JSON, 0.02, is_native=True),
    "onnx": Reader(_exported("model.onnx"), _run, damage.BYTES, 0.03, is_native=True),
    "litert": Reader(_exported("model.tflite"), _run, damage.BYTES, 0.03, is_native=True),
    "openvino": Reader(_exported("model.xml"), _run, damage.BYTES, 0.02, is_native=True),
    "saved_model": Reader(_exported("saved_model"), _run, damage.BYTES, 0.02, is_native=True),
}
