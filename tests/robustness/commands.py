"""The commands that are interrupted: their inputs, and what they write."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MTIME = 1_700_000_000
Files = dict[str, str]


@dataclass(frozen=True)
class Command:
    """A command of `petseg` in a folder of its own.

    Attributes:
        arguments: The arguments, given the folder.
        prepare: Makes the user's files in the folder, given the good models.
        is_final: Whether a file, once it has its name, has its last content.
        artifact: Name of the exported model. Two exports of one model differ in their bytes: they
            are compared by what they compute.
    """

    arguments: Callable[[Path], list[str]]
    prepare: Callable[[Path, Path], None]
    is_final: bool = True
    artifact: str | None = None


def _picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    os.utime(path, (MTIME, MTIME))  # the notes in the results have it


def _prepare_predict(folder: Path, models: Path) -> None:
    shutil.copy(models / "small.keras", folder / "model.keras")
    for seed, name in enumerate(("a.png", "b.jpg", "deep/a.png")):
        _save(folder / "photos" / name, _picture(seed, (40 + seed, 50)))
    (folder / "out").mkdir()
    (folder / "out" / "own.txt").write_text("mine")
    _save(folder / "out" / "own_mask.png", _picture(9, (5, 5)))


def _prepare_train(folder: Path, _models: Path) -> None:
    number = 0
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for _ in range(count):
            number += 1
            pixels = _picture(number, (32, 32))
            _save(folder / "data" / split / "images" / f"{number}.png", pixels)
            mask = (pixels[..., 0] > 127).astype(np.uint8)
            _save(folder / "data" / split / "masks" / f"{number}.png", mask)
    (folder / "notes.txt").write_text("mine")


def _prepare_export(name: str) -> Callable[[Path, Path], None]:
    """The user's folder has an earlier export of another model, which is replaced."""

    def prepare(folder: Path, models: Path) -> None:
        shutil.copy(models / "small.keras", folder / "model.keras")
        (folder / "own.txt").write_text("mine")
        old = models / "old" / name
        if old.is_dir():
            shutil.copytree(old, folder / name)
        else:
            for file in old.parent.glob(f"{old.stem}.*"):
                if file.suffix in (old.suffix, ".bin"):
                    shutil.copy(file, folder / file.name)

    return prepare


def _export(name: str) -> Command:
    return Command(
        lambda folder: ["export", str(folder / name), "--model", str(folder / "model.keras")],
        _prepare_export(name),
        artifact=name,
    )


COMMANDS: dict[str, Command] = {
    "predict": Command(
        lambda folder: [
            *("predict", str(folder / "photos"), "--model", str(folder / "model.keras")),
            *("--out", str(folder / "out"), "--json", str(folder / "shares.json"), "--cutout"),
        ],
        _prepare_predict,
    ),
    "train": Command(
        lambda folder: [
            *("train", "tiny", "--out", str(folder / "run"), "--data", str(folder / "data")),
            *("--classes", "a,background", "--weights", "none", "--image-size", "32"),
            *("--batch-size", "3", "--frozen-epochs", "1", "--epochs", "2"),
        ],
        _prepare_train,
        is_final=False,
    ),
    "export onnx": _export("model.onnx"),
    "export litert": _export("model.tflite"),
    "export openvino": _export("model.xml"),
    "export saved_model": _export("saved"),
}


def register_tiny_architecture() -> None:
    """Adds an architecture to `petseg.MODELS` that trains in a second."""
    import keras

    from petseg import BACKBONES, MODELS
    from petseg.models.assembly import assemble

    def tiny(num_classes: int, *, backbone: str, weights: Any, **names: Any) -> keras.Model:
        images = keras.Input((None, None, 3))
        inputs = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
        x = keras.layers.BatchNormalization()(x)
        encoder = keras.Model(inputs, keras.layers.ReLU()(x), name="encoder")
        x = encoder(keras.layers.Rescaling(1 / 255)(images))
        logits = keras.layers.Conv2D(num_classes, 1)(keras.layers.SpatialDropout2D(0.2)(x))
        return assemble(
            images,
            logits,
            architecture="tiny",
            backbone=BACKBONES[backbone],
            weights=weights,
            **names,
        )

    MODELS["tiny"] = tiny  # type: ignore[index]


def contents(folder: Path, artifact: str | None = None) -> Files:
    """Returns a hash of what matters in each file below a folder, by relative path."""
    found = {}
    if artifact is not None and (folder / artifact).exists():
        found[artifact] = _in_fork(folder / artifact)
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        is_of_artifact = artifact is not None and (
            name.startswith(f"{artifact}/")
            or name in (artifact, str(Path(artifact).with_suffix(".bin")))
        )
        if is_of_artifact:
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                found[f"{name}/"] = "empty folder"
        elif "tensorboard" not in path.parts:  # names with the time and the process
            try:
                data = _what_matters(path)
            except (ValueError, KeyError, zipfile.BadZipFile):
                data = b"damaged" + path.read_bytes()
            found[name] = hashlib.sha256(data).hexdigest()[:16]
    return found


def _in_fork(path: Path) -> str:
    """What an exported model is and computes. In a fork, since it may run TensorFlow."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = ""
        try:
            from petseg import Runtime

            runtime = Runtime(path)
            images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3))
            text = f"{runtime.info.to_json()} {np.round(runtime(images), 2).tolist()}"
            text = hashlib.sha256(text.encode()).hexdigest()[:16]
        except BaseException as error:
            text = f"{type(error).__name__}: {error!s:.300}"
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def _what_matters(path: Path) -> bytes:
    """The content of a file without times."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(n) for n in ("config.json", "model.weights.h5")]
            return re.sub(rb'"shared_object_id": \d+', b"", parts[0]) + parts[1]
    if path.name in ("result.json", "run.json"):
        record = json.loads(path.read_text())
        for name in ("training_seconds", "environment"):
            record.pop(name, None)
        for row in record.get("epochs", ()):
            row.pop("seconds", None)
        return json.dumps(record).encode()
    if path.name == "history.csv":
        return b"\n".join(row.rpartition(b",")[0] for row in path.read_bytes().splitlines())
    return path.read_bytes()
