"""Images with rare classes come several times in an epoch."""

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data.epochs import batches_from_epoch
from petseg.data.oversampling import repeats
from petseg.experiment import Settings

NAMES = ("road", "car", "sign")


@pytest.fixture
def streets(tmp_path):
    """20 training images: road in all, a car in 10, a sign in one. The colour is the number."""
    for split, count in (("train", 20), ("val", 2), ("test", 2)):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index in range(count):
            mask = np.full((32, 32), 255, np.uint8)
            mask[8:] = 0
            mask[:4] = index % 2
            mask[4, 4] = 2 if index == 7 else 0
            Image.new("RGB", (32, 32), (index, 0, 0)).save(
                tmp_path / split / "images" / f"{index}.png"
            )
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{index}.png")
    return tmp_path


def test_repeats_by_hand():
    has_class = np.zeros((100, 4), bool)  # the last class never occurs
    has_class[:, 0] = True
    has_class[:8, 1] = True  # sqrt(0.5 / 0.08) = 2.5
    has_class[0, 2] = True  # sqrt(0.5 / 0.01) = 7.07
    assert repeats(has_class).tolist() == [7, *[2] * 7, *[1] * 92]


def load(streets, **options):
    return petseg.load_folder(
        streets, class_names=NAMES, image_size=(32, 32), batch_size=4, augment=False, **options
    )


def numbers(dataset):
    return [int(image[0, 0, 0]) for images, _ in dataset for image in images.numpy()]


def test_rare_classes_are_seen_more_often(streets):
    train = load(streets, oversample=True).train
    assert len(train) == 6  # 22 images
    for epoch in range(2):
        seen = numbers(batches_from_epoch(train, epoch).take(6))
        assert sorted(seen) == sorted([*range(20), 7, 7])
    assert numbers(batches_from_epoch(train, 1).take(6)) == seen
    assert sorted(numbers(train)) == sorted([*range(20), 7, 7])
    masks = np.concatenate([masks for _, masks in train])
    assert (masks == 2).sum() == 3
    assert len(load(streets).train) == 5
    assert len(load(streets, oversample=True).val) == 1


def test_they_are_the_same_without_a_cache_and_with_files(streets, tmp_path):
    kept, *others = (
        load(streets, oversample=True, cache=cache).train
        for cache in ("memory", False, tmp_path / "cache")
    )
    for other in others:
        for first in (0, 3):
            one, two = (batches_from_epoch(each, first).take(12) for each in (kept, other))
            assert numbers(one) == numbers(two)


def test_a_run_knows_of_it(streets):
    settings = Settings("unet", data=str(streets), classes=NAMES, oversample=True)
    assert settings.to_dict()["oversample"]
    splits = settings.source().splits(image_size=(32, 32), batch_size=4, oversample=True)
    assert len(splits.train) == 6
    with pytest.raises(ValueError, match=r"`oversample` must be True or False\. Received: 2"):
        load(streets, oversample=2)
