import dataclasses
import re

import pytest

from petseg.data import Splits, synthetic_pets
from petseg_runtime.palette import class_colours


@pytest.fixture
def pets():
    # 14 examples for training and 3 for each of the others.
    return synthetic_pets(20, image_size=(20, 33), batch_size=5)


def cells(html):
    """The text of the table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]


def test_splits_are_frozen(pets):
    with pytest.raises(dataclasses.FrozenInstanceError):
        pets.train = pets.test


def test_repr(pets):
    assert repr(pets) == (
        "<Splits of 20 x 33 images (train: 3, val: 1, test: 1 batches), "
        "class_names=('pet', 'background', 'border'), ignore_class=None>"
    )


def test_html(pets):
    html = pets._repr_html_()
    assert cells(html) == [["split", "batches"], ["train", "3"], ["val", "1"], ["test", "1"]]
    assert "20 x 33 (height x width)" in html
    assert "Ignored label: none" in html
    swatches = re.findall(r"background: rgb\((\d+), (\d+), (\d+)\)\"></span> (\d) (\w+)", html)
    colours = class_colours(pets.class_names)
    assert swatches == [
        (*map(str, colours[0]), "0", "pet"),
        (*map(str, colours[1]), "1", "background"),
        (*map(str, colours[2]), "2", "border"),
    ]


def test_html_of_own_masks(pets):
    own = dataclasses.replace(pets, class_names=("a<b", "b & c"), ignore_class=255)
    html = own._repr_html_()
    assert "0 a&lt;b" in html
    assert "1 b &amp; c" in html
    assert "Ignored label: 255" in html


def test_batches_of_unknown_and_infinite_number(pets):
    own = Splits(
        train=pets.train.repeat(),
        val=pets.val.filter(lambda images, masks: True),  # noqa: ARG005
        test=pets.test,
        class_names=pets.class_names,
        ignore_class=None,
        image_size=pets.image_size,
    )
    assert cells(own._repr_html_())[1:] == [["train", "unknown"], ["val", "unknown"], ["test", "1"]]
    assert "train: unknown, val: unknown, test: 1 batches" in repr(own)
