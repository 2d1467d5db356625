"""Large images are computed in strips: with the same result, in bounded memory."""

import sys

import numpy as np
import pytest
from memory import run_python
from PIL import Image

from petseg_runtime import ModelInfo, cutout, image_io, overlay, overlays, predictor, resizing
from petseg_runtime.predictor import Predictor
from petseg_runtime.resizing import resize, to_mask

NAMES = ("cat", "background", "a class with a long name")

# Prints the most bytes a pixel that a step adds to those of its arguments.
MEASURE = """
import sys
import numpy as np
from memory import peak_memory
from petseg_runtime import cutout, overlay
from petseg_runtime.image_io import read_image
from petseg_runtime.resizing import to_mask

size = (4000, 5000)
mask = np.zeros(size, np.uint8)
mask[1000:3000, 1000:3000] = 1
image = None if sys.argv[1] == "read" else np.full((*size, 3), 200, np.uint8)
logits = np.random.default_rng(0).normal(size=(224, 224, 8)).astype(np.float32)
steps = {
    "read": lambda: read_image(sys.argv[2]),
    "mask": lambda: to_mask(logits, size),
    "classes": lambda: to_mask(logits.argmax(-1), size),
    "overlay": lambda: overlay(image, mask, class_names=("background", "cat"), legend=True),
    "cutout": lambda: cutout(image, mask, background=0),
}
before = peak_memory()
steps[sys.argv[1]]()
print((peak_memory() - before) / mask.size)
"""


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    blocks = np.random.default_rng(1).integers(0, 3, (10, 14))
    return np.kron(blocks, np.ones((10, 10), int))[:97, :131]


@pytest.fixture
def whole(monkeypatch):
    """Computes something in one strip, then in many small ones."""

    def both(make):
        once = make()
        monkeypatch.setattr(overlays, "STRIP_PIXELS", 300)
        monkeypatch.setattr(resizing, "STRIP_PIXELS", 300)
        monkeypatch.setattr(image_io, "STRIP_PIXELS", 300)
        return once, make()

    return both


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"legend": True},
        {"contour": False, "opacity": 0.3},
        {"ignore_class": 0, "legend": True},
        {"ignore_class": 2},
    ],
)
def test_an_overlay_has_no_seams(whole, image, mask, options):
    once, strips = whole(lambda: overlay(image, mask, class_names=NAMES, **options))
    np.testing.assert_array_equal(once, strips)


def test_a_thick_contour_reaches_over_a_seam(whole):
    mask = np.zeros((900, 600), np.uint8)
    mask[450:] = 2
    image = np.zeros((900, 600, 3), np.uint8)
    once, strips = whole(lambda: overlay(image, mask, class_names=NAMES))
    np.testing.assert_array_equal(once, strips)
    # 600 / 250 is about 2: two rows above and two below are opaque, the others half so.
    assert (
        list(once[445:455, 0].max(axis=1) > once[460, 0].max())
        == [False] * 3 + [True] * 4 + [False] * 3
    )


def test_the_legend_lies_on_the_overlay(image, mask):
    plain = overlay(image, mask, class_names=NAMES)
    shown = overlay(image, mask, class_names=NAMES, legend=True)
    changed = np.argwhere((plain != shown).any(axis=-1))
    assert changed[:, 0].min() > 50
    assert changed[:, 1].min() < 10
    assert len(changed) > 200


@pytest.mark.parametrize("shape", [(20, 30, 4), (97, 131, 2), (200, 50, 3), (1, 1, 2), (97, 9, 3)])
def test_a_mask_has_no_seams(whole, shape):
    logits = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    once, strips = whole(lambda: to_mask(logits, (97, 131)))
    np.testing.assert_array_equal(once, strips)
    planes = [resize(plane, (97, 131)) for plane in np.moveaxis(logits, -1, 0)]
    np.testing.assert_array_equal(once, np.argmax(planes, axis=0))


@pytest.mark.parametrize("shape", [(20, 30), (97, 131), (200, 300), (1, 1)])
def test_classes_are_resized_as_pillow_does(shape):
    classes = np.random.default_rng(3).integers(0, 300, shape)
    expected = Image.fromarray(classes.astype(np.int32)).resize((131, 97), Image.Resampling.NEAREST)
    found = to_mask(classes, (97, 131), np.uint16)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_file_is_read_as_it_is(whole, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "image.png")
    once, strips = whole(lambda: image_io.read_image(tmp_path / "image.png"))
    np.testing.assert_array_equal(once, image)
    np.testing.assert_array_equal(strips, image)


def test_a_cutout_of_fractions_is_rounded(image, mask):
    expected = cutout(image, mask, background=1, edges="hard")
    found = cutout(image.astype(np.float32) - 0.25, mask, background=1, edges="hard")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(expected[..., 3] == 0, mask == 1)


def test_tiles_are_joined_as_in_one_sum(image):
    """Each band of rows equals the weighted mean over all tiles that cover it."""
    kernel = np.random.default_rng(4).normal(size=(3, 3)).astype(np.float32)

    def model(images: np.ndarray) -> np.ndarray:
        # Depends on the place in the tile, as the edges of a tile do.
        return images @ kernel + np.arange(images.shape[1], dtype=np.float32)[:, None, None]

    predicts = Predictor(model, ModelInfo(NAMES), (None, None), tile=32)
    total = np.zeros((97, 131, 3))
    weight = np.zeros((97, 131, 1))
    rise = np.minimum(np.arange(1, 33), np.arange(32, 0, -1))
    window = np.outer(rise, rise)[..., None]
    for y in (0, 16, 32, 49, 65):
        for x in (0, 16, 33, 50, 66, 82, 99):
            square = image[None, y : y + 32, x : x + 32].astype(np.float32)
            total[y : y + 32, x : x + 32] += window * model(square)[0]
            weight[y : y + 32, x : x + 32] += window
    (found,) = predicts.masks([image])
    np.testing.assert_array_equal(found, (total / weight).argmax(axis=-1))


def test_logits_too_large_to_hold_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(predictor, "MOST_LOGIT_BYTES", 10**6)
    Image.new("RGB", (3000, 10)).save(tmp_path / "long.png")
    calls: list[int] = []

    def model(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return images

    predicts = Predictor(model, ModelInfo(NAMES), (None, None), tile=64)
    (found,) = predicts.files([tmp_path / "long.png"])
    assert found.mask is None
    assert "Received: an image of 10 x 3000 pixels, which the model would see at 64 x 19200" in str(
        found.error
    )
    assert not calls


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("step", "bound"),
    # The result alone has 3, 1, 1, 3 and 4 bytes a pixel; Pillow has 4 for an image. For a mask of
    # logits, strips take 21 bytes for each of 2 ** 22 pixels: 4.4 for each pixel of this image.
    [("read", 9), ("mask", 6.5), ("classes", 4), ("overlay", 7), ("cutout", 8.5)],
)
def test_a_large_image_takes_few_bytes_a_pixel(step, bound, tmp_path):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (5000, 4000), (200, 90, 30)).save(photo)
    done = run_python("-c", MEASURE, step, photo)
    assert done.stderr == ""
    assert float(done.stdout) < bound
