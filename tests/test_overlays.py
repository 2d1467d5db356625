import warnings

import numpy as np
import pytest

from petseg_runtime.overlays import COLOURS, cutout, overlay

ORANGE, SLATE, SKY = np.array(COLOURS[:3])

# Four columns of each class, on black.
BANDS = np.repeat(np.array([[0, 1, 2]], np.uint8), 4, axis=1).repeat(4, axis=0)
BLACK = np.zeros((4, 12, 3), np.uint8)


def test_overlay_blends_colours_and_outlines_regions():
    row = overlay(BLACK, BANDS, opacity=0.5)[0]
    assert row[:3].tolist() == [(ORANGE // 2).tolist()] * 3
    assert row[3].tolist() == ORANGE.tolist()  # the outline
    assert row[4:8].tolist() == BLACK[0, 4:8].tolist()  # the background
    assert row[8].tolist() == SKY.tolist()
    assert row[9:].tolist() == [(SKY // 2).tolist()] * 3


def test_overlay_of_no_opacity_leaves_outlines_alone():
    row = overlay(BLACK, BANDS, opacity=0)[0]
    assert np.flatnonzero(row.any(axis=-1)).tolist() == [3, 8]


def test_overlay_leaves_any_class_bare():
    assert not overlay(BLACK, BANDS, transparent=0)[:, :4].any()
    assert (overlay(BLACK, BANDS, opacity=1, transparent=None)[:, 4:8] == SLATE).all()


def test_overlay_takes_a_photo_and_mask_of_a_batch():
    from_batch = overlay(BLACK.astype(np.float32), BANDS[..., np.newaxis].astype(np.int32))
    assert (from_batch == overlay(BLACK, BANDS)).all()


def test_overlay_leaves_its_arguments_alone():
    photo, mask = BLACK.copy(), BANDS.copy()
    overlay(photo, mask)
    assert not photo.any()
    assert (mask == BANDS).all()


def test_overlay_has_a_colour_for_any_label():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert overlay(BLACK, np.full((4, 12), 255, np.uint8)).any()


@pytest.mark.parametrize(
    ("image", "mask", "opacity", "message"),
    [
        (BLACK, BANDS[:, :5], 0.5, r"`mask` .*\(4, 12\).*\(4, 5\)"),
        (BLACK, BANDS.astype(float), 0.5, "`mask` must hold integer classes"),
        (BLACK[..., 0], BANDS, 0.5, "`image` must be RGB"),
        (BLACK, BANDS, 1.5, r"`opacity` must lie in \[0, 1\]\. Received: 1\.5"),
    ],
)
def test_overlay_refuses_what_does_not_fit(image, mask, opacity, message):
    with pytest.raises(ValueError, match=message):
        overlay(image, mask, opacity=opacity)


def test_overlay_without_contour_has_one_colour_a_region():
    row = overlay(BLACK, BANDS, opacity=0.5, contour=False)[0]
    assert row[:4].tolist() == [(ORANGE // 2).tolist()] * 4


def test_overlay_takes_colours_of_ones_own():
    colours = [(10, 20, 30), (40, 50, 60)]  # class 2 has the first again
    row = overlay(BLACK, BANDS, opacity=1, transparent=None, colours=colours)[0]
    assert row[::4].tolist() == [[10, 20, 30], [40, 50, 60], [10, 20, 30]]
    with pytest.raises(ValueError, match="`colours` must be RGB triples"):
        overlay(BLACK, BANDS, colours=(1, 2, 3))


def test_overlay_names_the_classes_in_its_corner():
    photo = np.zeros((200, 300, 3), np.uint8)
    mask = np.ones((200, 300), np.uint8)
    legend = overlay(photo, mask, legend=("pet", "background", "border"))
    assert not legend[:, 200:].any()
    assert not legend[:120].any()
    corner = legend[120:, :200].reshape(-1, 3).tolist()
    assert ORANGE.tolist() in corner
    assert SKY.tolist() in corner
    assert SLATE.tolist() not in corner  # the background is bare


def test_cutout_is_transparent_where_nothing_is():
    photo = np.full((4, 12, 3), 9, np.uint8)
    cut = cutout(photo, BANDS)
    assert cut.shape == (4, 12, 4)
    assert cut[0, :, 3].tolist() == [255] * 4 + [0] * 4 + [255] * 4
    assert (cut[..., :3] == photo).all()
    with pytest.raises(ValueError, match="`mask` must hold integer classes"):
        cutout(photo, BANDS[:2])


def test_a_legend_of_many_classes_stays_in_the_picture():
    image = np.full((375, 500, 3), 255, np.uint8)
    mask = np.zeros((375, 500), np.uint8)
    names = [f"class {index}" for index in range(20)]
    few, many = (
        (overlay(image, mask, transparent=0, legend=names[:count]) != 255).any(axis=(1, 2))
        for count in (3, 20)
    )
    assert few.argmax() > many.argmax() > 0
    np.testing.assert_array_equal(overlay(image, mask, transparent=0, legend=("sky",)), image)
