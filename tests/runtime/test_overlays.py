import re
import warnings

import numpy as np
import pytest

from petseg_runtime import cutout, overlay
from petseg_runtime.palette import IGNORED, class_colours

NAMES = ("pet", "background", "border")
ORANGE, SLATE, SKY = np.array(class_colours(NAMES))

# Four columns of each class, on black.
BANDS = np.repeat(np.array([[0, 1, 2]], np.uint8), 4, axis=1).repeat(4, axis=0)
BLACK = np.zeros((4, 12, 3), np.uint8)


def test_overlay_blends_colours_and_outlines_regions():
    row = overlay(BLACK, BANDS, class_names=NAMES, opacity=0.5)[0]
    assert row[:3].tolist() == [(ORANGE // 2).tolist()] * 3
    assert row[3].tolist() == ORANGE.tolist()  # the outline
    assert row[4:8].tolist() == BLACK[0, 4:8].tolist()  # the background
    assert row[8].tolist() == SKY.tolist()
    assert row[9:].tolist() == [(SKY // 2).tolist()] * 3


def test_overlay_of_no_opacity_leaves_outlines_alone():
    row = overlay(BLACK, BANDS, class_names=NAMES, opacity=0)[0]
    assert np.flatnonzero(row.any(axis=-1)).tolist() == [3, 8]


def test_overlay_shows_the_bare_image_of_any_class():
    assert not overlay(BLACK, BANDS, background=0)[:, :4].any()
    assert not overlay(BLACK, BANDS, class_names=NAMES, background=2)[:, 8:].any()


def test_overlay_colours_every_class_where_none_is_the_background():
    for names in ((), ("road", "building", "car")):
        row = overlay(BLACK, BANDS, class_names=names)[0]
        assert row.any(axis=-1).all()
        assert len({tuple(pixel) for pixel in row[[1, 5, 9]].tolist()}) == 3


def test_overlay_hatches_ignored_pixels():
    mask = np.full((60, 60), 255, np.uint8)
    mask[:, :30] = 1
    picture = overlay(np.zeros((60, 60, 3), np.uint8), mask, class_names=NAMES, ignore_class=255)
    assert not picture[:, :28].any()  # the background; the contour is on pixel 29
    hatched = picture[5:-5, 33:]
    assert (hatched == hatched[..., :1]).all()  # grey
    assert len(np.unique(hatched)) == 2
    assert hatched.max() == round(0.85 * IGNORED[0])


def test_overlay_refuses_classes_that_have_no_name():
    with pytest.raises(ValueError, match=r"`mask` must hold classes below 2.*Received: 2"):
        overlay(BLACK, BANDS, class_names=("road", "car"))
    mask = np.full((4, 12), 254, np.uint8)
    with pytest.raises(ValueError, match=r"or the ignored 255\. Received: 254"):
        overlay(BLACK, mask, class_names=NAMES, ignore_class=255)


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
        (BLACK, BANDS, 1.5, r"`opacity` must be a number in \[0, 1\]\. Received: 1\.5"),
    ],
)
def test_overlay_refuses_what_does_not_fit(image, mask, opacity, message):
    with pytest.raises(ValueError, match=message):
        overlay(image, mask, opacity=opacity)


def test_overlay_without_contour_has_one_colour_a_region():
    row = overlay(BLACK, BANDS, class_names=NAMES, opacity=0.5, contour=False)[0]
    assert row[:4].tolist() == [(ORANGE // 2).tolist()] * 4


def test_overlay_takes_colours_of_ones_own():
    colours = [(10, 20, 30), (40, 50, 60)]  # class 2 has the first again
    row = overlay(BLACK, BANDS, opacity=1, colours=colours)[0]
    assert row[::4].tolist() == [[10, 20, 30], [40, 50, 60], [10, 20, 30]]
    with pytest.raises(ValueError, match="`colours` must be RGB triples"):
        overlay(BLACK, BANDS, colours=(1, 2, 3))


def test_overlay_names_the_classes_in_its_corner():
    photo = np.zeros((200, 300, 3), np.uint8)
    mask = np.ones((200, 300), np.uint8)
    legend = overlay(photo, mask, class_names=NAMES, legend=True)
    assert not legend[:, 200:].any()
    assert not legend[:120].any()
    corner = legend[120:, :200].reshape(-1, 3).tolist()
    assert ORANGE.tolist() in corner
    assert SKY.tolist() in corner
    assert SLATE.tolist() not in corner  # the background is bare


def test_cutout_is_transparent_where_nothing_is():
    photo = np.full((4, 12, 3), 9, np.uint8)
    cut = cutout(photo, BANDS, class_names=NAMES, edges="hard")
    assert cut.shape == (4, 12, 4)
    assert cut[0, :, 3].tolist() == [255] * 4 + [0] * 4 + [255] * 4
    assert (cut[..., :3] == photo).all()
    with pytest.raises(ValueError, match="`mask` must hold integer classes"):
        cutout(photo, BANDS[:2], background=1)


def test_cutout_needs_a_background():
    photo = np.full((4, 12, 3), 9, np.uint8)
    assert cutout(photo, BANDS, background=0, edges="hard")[0, :, 3].tolist() == [0] * 4 + [255] * 8
    with pytest.raises(ValueError, match="`background` must be the index of a class"):
        cutout(photo, BANDS, class_names=("road", "building", "car"))


def test_a_legend_of_many_classes_stays_in_the_picture():
    image = np.full((375, 500, 3), 255, np.uint8)
    mask = np.zeros((375, 500), np.uint8)
    names = [f"class {index}" for index in range(20)]
    few, many = (
        (overlay(image, mask, background=0, class_names=names[:count], legend=True) != 255).any(
            axis=(1, 2)
        )
        for count in (3, 20)
    )
    assert few.argmax() > many.argmax() > 0
    np.testing.assert_array_equal(
        overlay(image, mask, background=0, class_names=("sky",), legend=True), image
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": NAMES, "background": 3}, "`background` must be a class index below 3"),
        ({"background": -1}, "`background` must be a class index of 0 or more"),
        ({"background": "a"}, "`background` must be a class index"),
        ({"class_names": "abc"}, "`class_names` must be a list of names"),
        ({"colours": [(0, 0, 300)]}, "`colours` must be RGB triples"),
        ({"colours": [(0, 0), (1, 2, 3)]}, "`colours` must be RGB triples"),
        ({"legend": "a"}, "`legend` must be True or False. Received: 'a'"),
        ({"contour": 1}, "`contour` must be True or False. Received: 1"),
        ({"legend": True}, "`legend` shows `class_names`. Received: none"),
    ],
)
def test_overlay_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        overlay(BLACK, BANDS, **arguments)


def test_cutout_refuses_a_background_that_is_no_class():
    with pytest.raises(ValueError, match="`background` must be a class index below 3"):
        cutout(BLACK, BANDS, class_names=NAMES, background=99)
