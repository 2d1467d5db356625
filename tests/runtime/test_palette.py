import itertools

import numpy as np
import pytest

from petseg_runtime.palette import BACKGROUND, PALETTE, class_colours

# Colour vision deficiencies on linear RGB (Machado et al., IEEE TVCG 15(6), 2009, severity 1).
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
WHITE = [0.95047, 1.0, 1.08883]


def lab(colours, vision):
    """CIELAB of sRGB colours as a person with this vision sees them."""
    rgb = np.asarray(colours) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISION[vision]), 0, 1)
    x, y, z = np.moveaxis(seen @ np.transpose(TO_XYZ) / WHITE, -1, 0)
    x, y, z = (np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_classes_can_be_told_apart(vision):
    colours = lab([BACKGROUND, *PALETTE], vision)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)]
    assert len(colours) >= 20
    assert min(distances) > 12  # a difference of about 2 is just visible


def test_the_background_is_grey_whatever_its_index():
    assert class_colours(("pet", "background", "border")) == (PALETTE[0], BACKGROUND, PALETTE[1])
    assert class_colours(("Background", "cat")) == (BACKGROUND, PALETTE[0])
    assert class_colours(("road", "building", "car")) == PALETTE[:3]


def test_colours_repeat_after_the_last():
    colours = class_colours(tuple(map(str, range(30))))
    assert len(set(colours)) == len(PALETTE)
    assert colours[len(PALETTE)] == PALETTE[0]
