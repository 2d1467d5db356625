import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import petseg
from petseg.data import LIGHT, STRONG, Augmentation, load_folder
from petseg.data.augmentation import find_augmentation
from petseg.data.batch_augmentation import augment_batch

BACKGROUND = 1
EVERYTHING = Augmentation(
    mosaic=0.4,
    paste=0.5,
    occlusion=0.5,
    elastic=2.0,
    blur=0.5,
    noise=0.5,
    hue=0.3,
    rotation=30,
)


def random_batch(count=6, size=(40, 40)):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *size, 3), np.uint8)
    return images, rng.integers(0, 3, (count, *size, 1), np.uint8)


def augmented(batch, seed, augmentation=EVERYTHING, background=BACKGROUND):
    found = augment_batch(
        *batch, seed=seed, image_size=(32, 32), augmentation=augmentation, background=background
    )
    return [np.array(part) for part in found]


@pytest.mark.parametrize("augmentation", [LIGHT, STRONG, EVERYTHING])
def test_same_seed_same_batch(augmentation):
    batch = random_batch()
    one, same, other = (augmented(batch, seed, augmentation) for seed in ((5, 6), (5, 6), (5, 7)))
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, third)


class TestSettings:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (True, LIGHT),
            (np.True_, LIGHT),
            ("light", LIGHT),
            ("strong", STRONG),
            (False, None),
            (EVERYTHING, EVERYTHING),
        ],
    )
    def test_what_augment_can_be(self, value, expected):
        assert find_augmentation(value) == expected

    @pytest.mark.parametrize("value", [None, 0, 1, 1.0, "none", "Light", ["strong"], {"paste": 1}])
    def test_anything_else_is_refused(self, value):
        message = (
            r"`augment` must be True, False, 'light', 'strong', a `petseg\.data\.Augmentation`, .*"
            "Received: "
        )
        with pytest.raises(ValueError, match=message):
            petseg.synthetic_pets(3, image_size=(8, 8), augment=value)

    def test_a_similar_name_is_suggested(self):
        with pytest.raises(ValueError, match=r"Received: 'string'\. Did you mean 'strong'\?"):
            find_augmentation("string")
        with pytest.raises(ValueError, match=r"Received: None\.$"):
            find_augmentation(None)

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("brightness", -0.1, r"a number in \[0, 1\]"),
            ("mosaic", 1.1, r"a number in \[0, 1\]"),
            ("paste", True, r"a number in \[0, 1\]"),
            ("occlusion", "0.5", r"a number in \[0, 1\]"),
            ("blur", None, r"a number in \[0, 1\]"),
            ("noise", float("nan"), r"a number in \[0, 1\]"),
            ("hue", 1.5, r"a number in \[0, 1\]"),
            ("rotation", -1, "an angle in degrees, 0 to 180"),
            ("rotation", 181, "an angle in degrees, 0 to 180"),
            ("rotation", "90", "an angle in degrees, 0 to 180"),
            ("rotation", True, "an angle in degrees, 0 to 180"),
            ("elastic", -1, "a number of pixels of 0 or more"),
            ("elastic", float("inf"), "a number of pixels of 0 or more"),
            ("contrast", 0.8, "two numbers of 0 or more, the least and the greatest factor"),
            ("contrast", (1.2, 0.8), "two numbers of 0 or more"),
            ("saturation", (-0.1, 1.0), "two numbers of 0 or more"),
            ("saturation", (0.5, 1.0, 1.5), "two numbers of 0 or more"),
            ("saturation", "ab", "two numbers of 0 or more"),
        ],
    )
    def test_bad_strengths_are_refused(self, name, value, expected):
        with pytest.raises(ValueError, match=f"`{name}` must be {expected}.*Received: "):
            Augmentation(**{name: value})

    def test_a_batch_becomes_mosaics_or_gets_objects(self):
        message = r"`mosaic` and `paste` must add up to at most 1.*Received: 0\.6 and 0\.5"
        with pytest.raises(ValueError, match=message):
            Augmentation(mosaic=0.6, paste=0.5)

    def test_numbers_of_numpy_are_numbers(self):
        found = Augmentation(paste=np.float32(0.5), elastic=np.int64(2), contrast=[1, np.int64(2)])
        assert found == Augmentation(paste=0.5, elastic=2.0, contrast=(1.0, 2.0))
        assert json.loads(json.dumps(dataclasses.asdict(found)))["contrast"] == [1.0, 2.0]

    def test_the_page_about_data_has_the_strengths(self):
        page = Path(__file__).parents[2] / "docs" / "data.md"
        rows = {}
        for line in page.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 5:
                rows[cells[4].strip("`")] = cells[2:4]
        for name in (field.name for field in dataclasses.fields(Augmentation)):
            for cell, augmentation in zip(rows[name], (LIGHT, STRONG), strict=True):
                value = getattr(augmentation, name)
                if name == "brightness":
                    assert cell.startswith(f"± {100 * value:g} %")
                elif isinstance(value, tuple):
                    assert cell.removeprefix("factor ") == f"{value[0]:g} to {value[1]:g}"
                else:
                    assert cell == (f"probability {value:g}" if value else "no")


@pytest.mark.parametrize("name", ["paste", "occlusion"])
def test_what_needs_a_background_is_refused_without_one(own_folder, name):
    augment = Augmentation(**{name: 0.5})
    expected = (
        rf'`{name}` of `augment` needs a class named "background". Received: 0\.5 with .* a, b'
    )
    with pytest.raises(ValueError, match=expected):
        load_folder(own_folder, class_names=("a", "b", "c"), augment=augment)
    for class_names, allowed in (
        (("a", "Background", "c"), augment),
        (("a", "b", "c"), "strong"),
        (("a", "b", "c"), Augmentation(mosaic=0.5)),
    ):
        load_folder(own_folder, class_names=class_names, augment=allowed)


class TestScenes:
    def test_without_a_background_class_nothing_is_pasted_and_nothing_occluded(self):
        batch = random_batch()
        for seed in range(3):
            found = augmented(batch, (seed, 0), Augmentation(paste=1.0, occlusion=1.0), None)
            for one, other in zip(found, augmented(batch, (seed, 0), LIGHT), strict=True):
                np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("name", ["mosaic", "paste", "occlusion", "elastic"])
    def test_each_changes_labels_on_its_own(self, name):
        batch = random_batch()
        found = augmented(batch, (0, 0), Augmentation(**{name: 1.0}))
        assert not np.array_equal(found[1], augmented(batch, (0, 0), LIGHT)[1])

    @pytest.mark.parametrize("name", ["mosaic", "paste"])
    def test_probability_is_that_of_a_batch(self, name):
        batch = random_batch(2, (12, 12))
        augmentation = Augmentation(**{name: 0.3})
        changed = [
            not np.array_equal(
                augmented(batch, (seed, 0), augmentation)[1],
                augmented(batch, (seed, 0), LIGHT)[1],
            )
            for seed in range(120)
        ]
        assert 0.18 < np.mean(changed) < 0.42

    def test_the_loader_finds_the_background_by_its_name(self):
        pets = petseg.synthetic_pets(
            9, image_size=(32, 48), batch_size=6, augment=Augmentation(occlusion=1.0)
        )
        plain = petseg.synthetic_pets(9, image_size=(32, 48), batch_size=6)
        (_, masks), (_, plain_masks) = next(iter(pets.train)), next(iter(plain.train))
        changed = np.array(masks != plain_masks)
        assert changed.any()
        assert set(np.array(masks)[changed]) == {pets.class_names.index("background")}


class TestAugment:
    def test_mask_moves_with_image(self):
        # A straight edge between two greys: halfway between them, bilinear crosses where nearest
        # neighbour steps. Colour jitter shifts greys but not the halfway point between them.
        masks = np.zeros((64, 40, 40, 1), np.uint8)
        masks[:32, :, 17:] = 2
        masks[32:, 22:] = 2
        images = np.repeat(np.where(masks == 2, 170, 80), 3, axis=-1).astype(np.uint8)
        for seed in range(20):
            moved, moved_masks = augment_batch(images, masks, seed=(seed, 0), image_size=(37, 29))
            moved, moved_masks = moved.numpy(), moved_masks.numpy()
            greys = moved[..., :1]
            low, high = (reduce(greys, (1, 2, 3), keepdims=True) for reduce in (np.min, np.max))
            both = (high > low + 1).ravel()
            assert both.sum() > 32
            seen = np.where(greys > (low + high) / 2, 2, 0)
            np.testing.assert_array_equal(seen[both], moved_masks[both])

    def test_mask_turns_with_image(self):
        # The pixels of the image say the class: halfway between two greys, bilinear crosses where
        # nearest neighbour steps.
        masks = np.zeros((64, 40, 50, 1), np.uint8)
        masks[:, 12:30, 20:] = 2
        images = np.repeat(np.where(masks == 2, 170, 80), 3, axis=-1).astype(np.uint8)
        plain = Augmentation(0.0, (1, 1), (1, 1))
        turned = Augmentation(0.0, (1, 1), (1, 1), rotation=180)
        options = {"seed": (3, 0), "image_size": (40, 50)}
        moved, moved_masks = augment_batch(images, masks, augmentation=turned, **options)
        assert moved_masks.dtype == tf.int32
        assert set(np.unique(moved_masks)) == {0, 2}
        seen = np.where(moved.numpy()[..., :1] > 125, 2, 0)
        # A crop enlarges edges that the rotation has smoothed.
        assert np.mean(seen == moved_masks) > 0.985
        _, labels = augment_batch(images, masks, augmentation=plain, **options)
        assert np.mean(np.any(labels != moved_masks, axis=(1, 2, 3))) > 0.9

    def test_presets_neither_turn_nor_shift_the_hue(self):
        batch = random_batch()
        for preset in (LIGHT, STRONG):
            assert (preset.rotation, preset.hue) == (0, 0)
            # Rotation by nothing and hue by nothing would still round the pixels.
            tiny = dataclasses.replace(preset, hue=1e-9, rotation=1e-9)
            for one, other in zip(
                augmented(batch, (1, 2), preset), augmented(batch, (1, 2), tiny), strict=True
            ):
                np.testing.assert_allclose(one, other, atol=0.05)

    @pytest.mark.parametrize("size", [47, 70, 90, 128])
    def test_edges_are_not_padded(self, size):
        # At 47, 70 and 90 the box (0, 0, 1, 1) is rounded to end outside the image.
        images = np.full((64, 5 * size // 4 + 1, 5 * size // 4 + 1, 3), 200, np.uint8)
        masks = np.ones_like(images[..., :1])
        for seed in range(5):
            moved, moved_masks = augment_batch(
                images, masks, seed=(seed, 1), image_size=(size,) * 2
            )
            assert np.all(moved_masks == 1)
            assert np.min(moved) > 127

    def test_no_label_is_made_up(self):
        masks = np.random.default_rng(0).choice(np.array([0, 2, 255], np.uint8), (8, 40, 50, 1))
        images = np.zeros((8, 40, 50, 3), np.uint8)
        _, moved = augment_batch(images, masks, seed=(3, 4), image_size=(32, 32))
        assert moved.dtype == tf.int32
        assert set(np.unique(moved)) == {0, 2, 255}

    def test_half_are_flipped(self):
        ramps = np.tile(np.arange(100, 140, dtype=np.uint8)[:, None], (500, 40, 1, 3))
        moved, _ = augment_batch(ramps, ramps[..., :1], seed=(0, 0), image_size=(16, 16))
        flipped = np.mean(moved[:, 0, 0, 0] > moved[:, 0, -1, 0])
        assert flipped == pytest.approx(0.5, abs=0.07)

    @pytest.mark.parametrize("augmentation", [LIGHT, EVERYTHING])
    def test_same_eagerly_and_in_tf_data(self, augmentation):
        batch = random_batch()
        seeds = [(5, number) for number in range(8)]
        dataset = tf.data.Dataset.from_tensor_slices(seeds).map(
            lambda seed: augment_batch(
                *batch,
                seed=seed,
                image_size=(32, 32),
                augmentation=augmentation,
                background=BACKGROUND,
            )
        )
        for seed, mapped in zip(seeds, dataset.as_numpy_iterator(), strict=True):
            eager = augmented(batch, seed, augmentation)
            np.testing.assert_array_equal(eager[1], mapped[1])
            np.testing.assert_allclose(eager[0], mapped[0], atol=1e-3)
        assert dataset.element_spec[0].shape[1:] == (32, 32, 3)
        assert dataset.element_spec[1].shape[1:] == (32, 32, 1)
