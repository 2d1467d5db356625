"""Cut-outs: their edges, what is behind them, and how they are cropped."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from petseg_runtime import cutout

NAMES = ("pet", "background", "border")
SIDE = 200


def disc(radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.hypot(rows - SIDE / 2, columns - SIDE / 2) < radius


@pytest.fixture
def photo() -> np.ndarray:
    """A red disc of radius 60 on blue."""
    return np.where(disc(60)[..., None], (200, 40, 30), (30, 60, 180)).astype(np.uint8)


@pytest.fixture
def trimap() -> np.ndarray:
    """A border from radius 54 to 66."""
    return np.where(disc(54), 0, np.where(disc(66), 2, 1))


def alpha_of(photo, mask, **options):
    return cutout(photo, mask, class_names=NAMES, **options)[..., 3]


def test_hard_edges_are_those_of_the_mask(photo, trimap):
    alpha = alpha_of(photo, trimap, edges="hard")
    np.testing.assert_array_equal(alpha, 255 * (trimap != 1))


@pytest.mark.parametrize("edges", ["feathered", "matted"])
def test_soft_edges_run_through_the_middle_of_the_border(photo, trimap, edges):
    alpha = alpha_of(photo, trimap, edges=edges)
    assert (alpha[disc(52)] == 255).all()
    assert (alpha[~disc(68)] == 0).all()
    error = np.abs(alpha / 255 - disc(60))
    assert error.mean() < np.abs(disc(66) * 1.0 - disc(60)).mean() / 4
    if edges == "feathered":
        assert ((alpha > 0) & (alpha < 255)).any()


@pytest.mark.parametrize("edges", ["feathered", "matted"])
def test_soft_edges_need_no_border(photo, edges):
    alpha = cutout(photo, np.where(disc(60), 0, 1), background=1, edges=edges)[..., 3]
    assert np.abs(alpha / 255 - disc(60)).mean() < 0.01
    assert (alpha[disc(56)] == 255).all()
    assert (alpha[~disc(64)] == 0).all()


def test_matting_follows_what_the_mask_does_not_show(photo):
    rough = np.where(disc(58.5), 0, 1)  # a pixel and a half too small
    alpha = cutout(photo, rough, background=1, edges="matted")[..., 3]
    assert np.abs(alpha / 255 - disc(60)).mean() < np.abs(disc(58.5) * 1.0 - disc(60)).mean() / 4


def test_matted_edges_have_the_colours_of_the_object(photo, trimap):
    soft = np.asarray(Image.fromarray(photo).resize((100, 100), Image.Resampling.BOX))
    cut = cutout(soft, trimap[::2, ::2], class_names=NAMES, edges="matted")
    seen = cut[cut[..., 3] > 25]
    assert np.abs(seen[:, :3].astype(int) - (200, 40, 30)).max() < 40


@pytest.mark.parametrize("edges", ["hard", "feathered", "matted"])
@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_one_class(photo, edges, value):
    alpha = alpha_of(photo, np.full((SIDE, SIDE), value), edges=edges)
    assert (alpha == 255 * (value == 0)).all()


def test_a_colour_may_be_behind(photo, trimap):
    shown = cutout(photo, trimap, class_names=NAMES, edges="hard", onto="#10ff20")
    assert shown.shape == photo.shape
    assert (shown[trimap == 1] == (16, 255, 32)).all()
    np.testing.assert_array_equal(shown[trimap != 1], photo[trimap != 1])
    white = cutout(photo, trimap, class_names=NAMES, onto="white")
    assert (white[0, 0] == 255).all()


def test_another_image_may_be_behind(photo, trimap, tmp_path):
    other = np.zeros((50, 400, 3), np.uint8)
    other[:, 100:300] = (9, 99, 199)  # the middle fills the square
    Image.fromarray(other).save(tmp_path / "other.png")
    for onto in (other, other.astype(np.float32), tmp_path / "other.png"):
        shown = cutout(photo, trimap, class_names=NAMES, edges="hard", onto=onto)
        assert (shown[trimap == 1] == (9, 99, 199)).all()


def test_the_blurred_background_has_no_glow_of_the_object(photo, trimap):
    noise = np.random.default_rng(0).integers(-30, 30, photo.shape)
    noisy = np.clip(photo + noise, 0, 255).astype(np.uint8)
    shown = cutout(noisy, trimap, class_names=NAMES, edges="hard", onto="blur")
    behind = shown[trimap == 1].astype(int)
    assert behind.std(axis=0).max() < noisy[trimap == 1].std(axis=0).max() / 4
    assert np.abs(behind - (30, 60, 180)).max() < 20


def test_a_crop_is_as_large_as_the_object(photo, trimap):
    cut = cutout(photo, trimap, class_names=NAMES, edges="hard", crop=True)
    assert cut.shape == (132, 132, 4)
    np.testing.assert_array_equal(cut[..., :3], photo[34:166, 34:166])
    nothing = cutout(photo, np.ones_like(trimap), class_names=NAMES, crop=True)
    assert nothing.shape == (SIDE, SIDE, 4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"edges": "soft"}, ValueError, "`edges` must be one of hard, feathered, matted"),
        ({"crop": 1}, ValueError, "`crop` must be True or False"),
        ({"onto": "no-file.jpg"}, FileNotFoundError, "`onto` must be a colour such as 'white'"),
        ({"onto": np.zeros((4, 4))}, ValueError, r"`onto` must be RGB \(H, W, 3\)"),
    ],
)
def test_what_is_no_choice_is_refused(photo, trimap, options, error, message):
    with pytest.raises(error, match=message):
        cutout(photo, trimap, class_names=NAMES, **options)


def test_without_pymatting_the_error_says_what_to_install(photo, trimap, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"petseg\[matting\]"):
        cutout(photo, trimap, class_names=NAMES, edges="matted")
