"""The pretrained models in the package: their weights, cards and ONNX graphs.

A model is three files in `weights`, called `<architecture>-<backbone>`: the weights (`.npz`), the
card (`.json`: the scores, the training settings, the licence and the SHA-256 of the weights), and
the graph (`.onnx`), which holds no weights. The graph takes them in the order and the layout of
Keras, so that Keras and ONNX Runtime read the same file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from petseg_runtime.digests import file_digest
from petseg_runtime.formats import Artifact, open_onnx

FOLDER = Path(__file__).parent / "weights"
DEFAULT_ARCHITECTURE = "unet"
DEFAULT_BACKBONE = "efficientnetlite0"  # its ImageNet weights come with the package


def pretrained_models(folder: Path = FOLDER) -> list[str]:
    """Lists the pretrained models.

    Args:
        folder: Folder of the models. By default the one in the package.

    Returns:
        Their names, `<architecture>-<backbone>`, sorted.
    """
    return sorted(path.stem for path in folder.glob("*.json"))


def pretrained_backbones(folder: Path = FOLDER) -> dict[str, list[str]]:
    """Lists the backbones of the pretrained models.

    Args:
        folder: Folder of the models. By default the one in the package.

    Returns:
        The backbones by architecture. The first one is the default: `DEFAULT_BACKBONE` where there
        is such a model.
    """
    found: dict[str, list[str]] = {}
    for name in pretrained_models(folder):
        architecture, backbone = name.split("-", 1)
        found.setdefault(architecture, []).append(backbone)
    for backbones in found.values():
        backbones.sort(key=lambda backbone: (backbone != DEFAULT_BACKBONE, backbone))
    return found


def full_name(name: str, folder: Path = FOLDER) -> str:
    """Completes the name of a pretrained model.

    Args:
        name: An architecture, such as "unet", or an architecture and a backbone, such as
            "unet-mobilenetv2".
        folder: Folder of the models. By default the one in the package.

    Returns:
        A name of `pretrained_models`.

    Raises:
        ValueError: If there is no such model.
    """
    found = pretrained_backbones(folder)
    if name in found:
        return f"{name}-{found[name][0]}"
    names = pretrained_models(folder)
    if name not in names:
        raise ValueError(
            f"`name` must be that of a pretrained model: {', '.join((*found, *names))}. "
            f"Received: {name!r}."
        )
    return name


def read_card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Reads the card of a pretrained model.

    Args:
        name: A name of `pretrained_models`.
        folder: Folder of the models. By default the one in the package.

    Returns:
        The card.
    """
    card: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return card


def read_arrays(name: str, folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """Reads a weights file whose SHA-256 is in the card beside it.

    Args:
        name: Name of both files, without suffix.
        folder: Their folder.

    Returns:
        The arrays by name, in the order in which they were written.

    Raises:
        OSError: If the file is missing or was changed.
    """
    path = folder / f"{name}.npz"
    if not path.is_file() or file_digest(path) != read_card(name, folder)["sha256"]:
        state = "was changed" if path.is_file() else "is missing"
        raise OSError(f"The weights file {path} {state}. Install petseg again.")
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def open_pretrained(name: str, folder: Path = FOLDER) -> Artifact:
    """Opens a pretrained model in ONNX Runtime.

    Args:
        name: A name of `pretrained_models`.
        folder: Folder of the models. By default the one in the package.

    Returns:
        The opened model.

    Raises:
        OSError: If the file of the weights is missing or was changed.
    """
    arrays = read_arrays(name, folder)
    weights = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    return open_onnx(folder / f"{name}.onnx", weights)
