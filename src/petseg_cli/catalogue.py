"""What `petseg models` lists, readable without TensorFlow and without building a model.

A test compares these tables with `petseg.MODELS` and `petseg.BACKBONES`.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """A row of `ARCHITECTURES`.

    Attributes:
        description: What distinguishes it, in a few words.
        paper: Its arXiv number.
    """

    description: str
    paper: str


@dataclass(frozen=True)
class BackboneEntry:
    """A row of `BACKBONES`.

    Attributes:
        title: Name and authors.
        paper: Its arXiv number.
        parameters: Number of parameters without the classifier.
        ships: Whether its ImageNet weights come with petseg. Others are downloaded.
    """

    title: str
    paper: str
    parameters: int
    ships: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture("U-Net: skip connections at every stride", "1505.04597"),
    "fcn8": Architecture("FCN-8s: adds scores of strides 32, 16 and 8", "1411.4038"),
    "fcn16": Architecture("FCN-16s: adds scores of strides 32 and 16", "1411.4038"),
    "fcn32": Architecture("FCN-32s: scores of stride 32 only", "1411.4038"),
    "segnet": Architecture("SegNet: unpooling with max-pooling indices", "1511.00561"),
    "pspnet": Architecture("PSPNet: pyramid pooling", "1612.01105"),
    "deeplabv3": Architecture("DeepLabV3: atrous spatial pyramid pooling", "1706.05587"),
    "deeplabv3_plus": Architecture("DeepLabV3+: DeepLabV3 with a decoder", "1802.02611"),
    "fpn": Architecture("FPN: a feature pyramid, summed at stride 4", "1901.02446"),
    "linknet": Architecture("LinkNet: skip connections that are added", "1707.03718"),
    "lraspp": Architecture("LR-ASPP: the light decoder of MobileNetV3", "1905.02244"),
}

BACKBONES: dict[str, BackboneEntry] = {
    "mobilenet": BackboneEntry("MobileNet, Howard et al.", "1704.04861", 3_228_864),
    "mobilenetv2": BackboneEntry("MobileNetV2, Sandler et al.", "1801.04381", 2_257_984),
    "mobilenetv3small": BackboneEntry("MobileNetV3 small, Howard et al.", "1905.02244", 939_120),
    "mobilenetv3large": BackboneEntry("MobileNetV3 large, Howard et al.", "1905.02244", 2_996_352),
    "vgg16": BackboneEntry("VGG16, Simonyan and Zisserman", "1409.1556", 14_714_688),
    "resnet50": BackboneEntry("ResNet50, He et al.", "1512.03385", 23_587_712),
    "efficientnetv2b0": BackboneEntry("EfficientNetV2-B0, Tan and Le", "2104.00298", 5_919_312),
    "efficientnetlite0": BackboneEntry(
        "EfficientNet-Lite0, Tan and Le", "1905.11946", 2_998_304, True
    ),
    "efficientnetlite1": BackboneEntry(
        "EfficientNet-Lite1, Tan and Le", "1905.11946", 3_774_624, True
    ),
    "efficientnetlite2": BackboneEntry(
        "EfficientNet-Lite2, Tan and Le", "1905.11946", 4_413_488, True
    ),
}


@dataclass(frozen=True)
class PretrainedModel:
    """Weights that come with petseg, `weights="pets"`.

    Attributes:
        architecture: Key of `ARCHITECTURES`.
        backbone: Key of `BACKBONES`.
        image_size: (height, width) that it was trained at.
        mean_iou: Mean IoU on the test split of Oxford-IIIT Pet.
        num_bytes: Size of the weights file.
    """

    architecture: str
    backbone: str
    image_size: tuple[int, int]
    mean_iou: float
    num_bytes: int


def pretrained_models() -> list[PretrainedModel]:
    """Reads the cards of the pretrained models in the package.

    Returns:
        The models, in the order of `ARCHITECTURES`.
    """
    found = [_read_card(path) for path in sorted(_weights_folder().glob("*.json"))]
    order = list(ARCHITECTURES)
    return sorted(found, key=lambda row: order.index(row.architecture))


def _weights_folder() -> Path:
    # This finds the package without importing it, and NumPy with it.
    spec = importlib.util.find_spec("petseg_runtime")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "weights"


def _read_card(path: Path) -> PretrainedModel:
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    height, width = card["image_size"]
    weights = path.with_suffix(".npz")
    return PretrainedModel(
        architecture=card["architecture"],
        backbone=card["backbone"],
        image_size=(height, width),
        mean_iou=card["test"]["mean_iou"],
        num_bytes=weights.stat().st_size if weights.exists() else 0,
    )
