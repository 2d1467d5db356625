"""A model of one layer, photos, and real processes of the command line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from petseg import ModelInfo
from petseg.data import draw_pet
from petseg.models.layers import SegmentationOutput

# The command line as a process, for `subprocess`.
PETSEG = [sys.executable, "-c", "from petseg_cli import main; main()"]


def save_model(path: Path, info: ModelInfo) -> Path:
    """Saves a model whose class is decided by the brightness of a pixel."""
    images = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(info.num_classes, 1)
    logits = layer(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, SegmentationOutput(info.to_dict())(logits, images))
    # The greatest of 2 k b - k^2 / n, for b from 0 to 1, is that of k nearest to n b.
    steps = np.arange(info.num_classes, dtype=np.float32)
    slope = np.tile(2 * steps / 3, (1, 1, 3, 1))
    layer.set_weights([slope, -(steps**2) / max(1, info.num_classes - 1)])
    model.save(path)
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """A model of the classes of pets that was trained at 64 x 64."""
    path = tmp_path_factory.mktemp("models") / "small.keras"
    return save_model(path, ModelInfo(("pet", "background", "border"), image_size=(64, 64)))


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder with three photos of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg", "c.png")):
        image, _ = draw_pet(seed)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.fixture
def predict(cli, model_file) -> Callable[..., tuple[int | str | None, str, str]]:
    """Runs `petseg predict` with the small model."""

    def run(*args: object) -> tuple[int | str | None, str, str]:
        return cli("predict", *args, "--model", model_file)

    return run


def run_process(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    environment = {**os.environ, **options.pop("env", {})}  # type: ignore[dict-item]
    return subprocess.run(
        [*PETSEG, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        **options,  # type: ignore[call-overload]
    )


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in a process of its own."""
    return run_process


@pytest.fixture
def make_model() -> Callable[[Path, ModelInfo], Path]:
    """Saves a model with a record."""
    return save_model
