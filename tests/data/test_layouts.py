"""Names of folders and files as datasets come with them, in real files."""

import numpy as np
import pytest
from PIL import Image

from petseg.data import DataSource, load_folder, verify_folder
from petseg.data.folder_layout import find_layout
from petseg.data.folder_names import SPLITS
from petseg.data.pairing import mask_ending, pair_up

CLASSES = ("road", "car", "sky")
COUNTS = {"train": 3, "val": 2, "test": 1}


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_pairs(images, masks, count, *, ending="", start=0, image_ending=""):
    """`count` images whose pixels all equal the number that their mask has in its second column."""
    for number in range(start, start + count):
        mask = np.tile([0, number % 3, 1, 2], (2, 1))
        write(images / f"{number:04}{image_ending}.png", np.full((2, 4, 3), number))
        write(masks / f"{number:04}{ending}.png", mask)


def write_splits(root, images, masks, counts=None, **names):
    """Writes a layout whose names have {split} for train, val and test."""
    start = 0
    for split, count in (COUNTS if counts is None else counts).items():
        one, other = (root / each.replace("{split}", split) for each in (images, masks))
        write_pairs(one, other, count, start=start, **names)
        start += count
    return root


def numbers(layout):
    """The numbers in the names of each split, after a look at whether the pairs are right."""
    found = {}
    for split, pairs in layout.pairs.items():
        found[split] = [int(image.stem[:4]) for image, _ in pairs]
        for image, mask in pairs:
            assert image.stem[:4] == mask.stem[:4]
            assert image != mask
    return found


EXPECTED = {"train": [0, 1, 2], "val": [3, 4], "test": [5]}


class TestFolders:
    @pytest.mark.parametrize(
        ("images", "masks"),
        [
            ("{split}/images", "{split}/masks"),
            ("images/{split}", "masks/{split}"),
            ("images/{split}", "labels/{split}"),
            ("images/{split}", "annotations/{split}"),
            ("{split}", "{split}annot"),
            ("{split}", "{split}_labels"),
            ("{split}", "{split}_masks"),
            ("{split}_images", "{split}_masks"),
        ],
    )
    def test_splits_are_found_without_arguments(self, tmp_path, images, masks):
        layout = find_layout(write_splits(tmp_path, images, masks), CLASSES)
        assert numbers(layout) == EXPECTED
        assert not layout.unpaired
        assert not layout.misplaced
        assert verify_folder(tmp_path, class_names=CLASSES) == []

    @pytest.mark.parametrize(
        ("images", "masks"),
        [("images", "masks"), ("images", "annotations"), ("JPEGImages", "SegmentationClass")],
    )
    def test_one_pair_of_folders(self, tmp_path, images, masks):
        write_splits(tmp_path, images, masks, {"all": 60})
        found = numbers(find_layout(tmp_path, CLASSES))
        assert sorted(number for each in found.values() for number in each) == list(range(60))
        assert len(found["train"]) > 40

    @pytest.mark.parametrize(
        ("given", "images", "masks"),
        [
            (("train", "trainannot"), "{split}", "{split}annot"),
            (("rgb/train", "gt/train"), "rgb/{split}", "gt/{split}"),
            (("rgb", "gt"), "{split}/rgb", "{split}/gt"),
            (("rgb", "gt"), "rgb/{split}", "gt/{split}"),
        ],
    )
    def test_splits_by_given_names(self, tmp_path, given, images, masks):
        write_splits(tmp_path, images, masks)
        write_pairs(tmp_path / "images", tmp_path / "masks", 1)  # not asked for
        layout = find_layout(tmp_path, CLASSES, images=given[0], masks=given[1])
        assert numbers(layout) == EXPECTED

    def test_other_names_of_splits(self, tmp_path):
        """As in ADE20K."""
        counts = {"training": 3, "validation": 2, "testing": 1}
        root = write_splits(tmp_path, "images/{split}", "annotations/{split}", counts)
        assert numbers(find_layout(root, CLASSES)) == EXPECTED
        named = find_layout(root, CLASSES, images="images/training", masks="annotations/training")
        assert numbers(named) == EXPECTED

    def test_given_names_alone(self, tmp_path):
        write_pairs(tmp_path / "rgb", tmp_path / "gt", 60)
        found = numbers(find_layout(tmp_path, CLASSES, images="rgb", masks="gt"))
        assert len(found["train"]) > 40

    def test_given_names_that_are_not_there(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}annot")
        expected = r"trainmask is missing. .*which holds test, testannot, train, trainannot, val"
        with pytest.raises(FileNotFoundError, match=expected):
            find_layout(tmp_path, CLASSES, images="train", masks="trainmask")

    def test_two_layouts_are_refused(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}_labels")
        write_splits(tmp_path, "{split}", "{split}_masks")
        expected = "holds train with train_labels or train with train_masks. Pass the names as"
        with pytest.raises(ValueError, match=expected):
            find_layout(tmp_path, CLASSES)
        layout = find_layout(tmp_path, CLASSES, images="train", masks="train_masks")
        assert numbers(layout) == EXPECTED

    def test_two_folders_of_a_split_are_refused(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}annot", {"train": 1, "val": 1, "valid": 1})
        with pytest.raises(ValueError, match=r"must have one folder for val.*val and valid"):
            find_layout(tmp_path, CLASSES)

    def test_images_beside_the_splits_are_an_error(self, tmp_path):
        write_splits(tmp_path, "images/{split}", "masks/{split}")
        write(tmp_path / "images" / "9.png", np.zeros((2, 4, 3)))
        (problem,) = verify_folder(tmp_path, class_names=CLASSES)
        assert (problem.kind, problem.file) == ("misplaced", str(tmp_path / "images"))

    def test_nothing_fits(self, tmp_path):
        write_pairs(tmp_path / "pictures", tmp_path / "truth", 1)
        with pytest.raises(FileNotFoundError, match=r"which holds pictures, truth\."):
            find_layout(tmp_path, CLASSES)


class TestMissingSplits:
    def test_validation_is_a_tenth_of_train(self, tmp_path):
        counts = {"train": 60, "test": 5}
        write_splits(tmp_path, "{split}", "{split}annot", counts)
        found = numbers(find_layout(tmp_path, CLASSES))
        assert found["test"] == [60, 61, 62, 63, 64]
        assert 0 < len(found["val"]) < 15
        assert sorted(found["train"] + found["val"]) == list(range(60))

    def test_test_is_half_of_validation(self, tmp_path):
        counts = {"train": 5, "val": 40}
        layout = find_layout(write_splits(tmp_path, "{split}", "{split}annot", counts), CLASSES)
        found = numbers(layout)
        assert found["train"] == [0, 1, 2, 3, 4]
        assert sorted(found["val"] + found["test"]) == list(range(5, 45))
        assert 10 < len(found["test"]) < 30
        assert any("half of val" in note for note in layout.notes)

    def test_train_alone_is_divided(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}annot", {"train": 60})
        found = numbers(find_layout(tmp_path, CLASSES))
        write_pairs(tmp_path / "same" / "images", tmp_path / "same" / "masks", 60)
        assert found == numbers(find_layout(tmp_path / "same", CLASSES))

    def test_images_of_test_without_masks_are_not_read(self, tmp_path):
        counts = {"train": 5, "val": 40}
        write_splits(tmp_path, "{split}", "{split}annot", counts)
        write(tmp_path / "test" / "0099.png", np.zeros((2, 4, 3)))
        layout = find_layout(tmp_path, CLASSES)
        assert len(layout.pairs["test"]) > 10
        assert "test is not read, because there is no testannot" in layout.notes

    def test_validation_without_masks_is_an_error(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}annot")
        (tmp_path / "valannot").rename(tmp_path / "val_annot")
        with pytest.raises(FileNotFoundError, match=r"valannot is missing. .*images and masks for"):
            find_layout(tmp_path, CLASSES)


class TestLists:
    def write_lists(self, folder, lines):
        folder.mkdir(parents=True, exist_ok=True)
        for split, text in lines.items():
            (folder / f"{split}.txt").write_text("\n".join(text) + "\n")

    @pytest.mark.parametrize(
        ("images", "masks", "folder"),
        [
            ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
            ("images", "masks", "."),
            ("images", "masks", "splits"),
        ],
    )
    @pytest.mark.parametrize("form", ["{:04}", "{:04}.png", "images/{:04}.jpg"])
    def test_names(self, tmp_path, images, masks, folder, form):
        write_pairs(tmp_path / images, tmp_path / masks, 6)
        write(tmp_path / images / "0099.png", np.zeros((2, 4, 3)))  # has no mask and is not listed
        lines = {split: map(form.format, each) for split, each in EXPECTED.items()}
        self.write_lists(tmp_path / folder, lines)
        layout = find_layout(tmp_path, CLASSES)
        assert numbers(layout) == EXPECTED
        assert not layout.unpaired

    def test_pairs_with_prefixes_of_another_machine(self, tmp_path):
        """As SegNet lists CamVid, in folders that no layout has."""
        write_splits(tmp_path, "{split}rgb", "{split}gt")
        line = "/SegNet/CamVid/{0}rgb/{1:04}.png /SegNet/CamVid/{0}gt/{1:04}.png"
        lines = {split: [line.format(split, n) for n in each] for split, each in EXPECTED.items()}
        self.write_lists(tmp_path, lines)
        assert numbers(find_layout(tmp_path, CLASSES)) == EXPECTED

    def test_folders_of_splits_go_before_lists(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}annot")
        self.write_lists(tmp_path, {"train": ["no such file"]})
        assert numbers(find_layout(tmp_path, CLASSES)) == EXPECTED

    def test_missing_files_are_listed(self, tmp_path):
        write_pairs(tmp_path / "images", tmp_path / "masks", 6)
        lines = {split: [f"{n:04}" for n in each] for split, each in EXPECTED.items()}
        lines["val"] += ["0077"]
        (tmp_path / "masks" / "0001.png").unlink()
        self.write_lists(tmp_path, lines)
        problems = verify_folder(tmp_path, class_names=CLASSES)
        assert {(problem.file, problem.detail) for problem in problems[:2]} == {
            (str(tmp_path / "0077"), "is listed in val.txt but missing"),
            (str(tmp_path / "images" / "0001.png"), "is listed in train.txt but has no mask"),
        }

    def test_an_image_in_two_lists_is_refused(self, tmp_path):
        write_pairs(tmp_path / "images", tmp_path / "masks", 6)
        lines = {split: [f"{n:04}" for n in each] for split, each in EXPECTED.items()}
        lines["test"] += ["0000"]
        self.write_lists(tmp_path, lines)
        expected = r"test.txt must not list images of another split.*0000, which train.txt lists"
        with pytest.raises(ValueError, match=expected):
            find_layout(tmp_path, CLASSES)

    def test_a_list_of_test_without_masks_counts_as_none(self, tmp_path):
        write_pairs(tmp_path / "JPEGImages", tmp_path / "SegmentationClass", 40)
        for number in range(40, 45):
            write(tmp_path / "JPEGImages" / f"{number:04}.png", np.zeros((2, 4, 3)))
        splits = {"train": range(10), "val": range(10, 40), "test": range(40, 45)}
        lines = {split: [f"{n:04}" for n in each] for split, each in splits.items()}
        self.write_lists(tmp_path / "ImageSets" / "Segmentation", lines)
        layout = find_layout(tmp_path, CLASSES)
        assert 5 < len(layout.pairs["test"]) < 25
        assert not layout.unpaired


class TestEndings:
    @pytest.mark.parametrize(
        "ending", ["_mask", "_L", "_labels", "_gtFine_labelIds", "-seg", ".mask"]
    )
    def test_masks_of_another_folder(self, tmp_path, ending):
        write_splits(tmp_path, "{split}", "{split}_labels", ending=ending)
        assert numbers(find_layout(tmp_path, CLASSES)) == EXPECTED

    def test_masks_of_the_same_folder(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}", ending="_mask")
        assert numbers(find_layout(tmp_path, CLASSES)) == EXPECTED
        write_splits(tmp_path / "flat", ".", ".", {"all": 40}, ending="_mask")
        found = numbers(find_layout(tmp_path / "flat", CLASSES))
        assert sorted(number for each in found.values() for number in each) == list(range(40))

    def test_images_with_an_ending_too(self, tmp_path):
        write_splits(tmp_path, "{split}", "{split}_masks", ending="_mask", image_ending="_sat")
        assert numbers(find_layout(tmp_path, CLASSES)) == EXPECTED

    def test_two_kinds_of_masks_are_refused(self, tmp_path):
        images, masks = tmp_path / "images", tmp_path / "masks"
        for ending in ("_color", "_labelIds"):
            write_pairs(images, masks, 20, ending=ending)
        with pytest.raises(ValueError, match=r"masks of 2 kinds, \*_color and \*_labelIds"):
            pair_up(images, masks)

    def test_a_few_files_of_another_name_are_named(self, tmp_path):
        images, masks = tmp_path / "images", tmp_path / "masks"
        write_pairs(images, masks, 20, ending="_mask")
        (masks / "0003_mask.png").rename(masks / "0003_msk.png")
        pairing = pair_up(images, masks)
        assert len(pairing.pairs) == 19
        assert pairing.unpaired == {
            images / "0003.png": f"has no file of the name 0003_mask in {masks}",
            masks / "0003_msk.png": f"has no file of the name 0003_msk in {images}",
        }

    @pytest.mark.parametrize(
        ("images", "masks", "ending"),
        [
            (["1", "10", "2"], ["1", "10", "2"], ""),
            (["1", "10", "2"], ["1_m", "10_m", "2_m"], "_m"),
            (["a", "a_b"], ["a_m", "a_b_m"], "_m"),
            (["a", "b"], ["a_1", "b_1"], None),  # the number of another frame
            (["a", "b"], ["a", "b_m"], ""),
            (["a", "b"], ["c", "d"], None),
            ([], ["c"], ""),
        ],
    )
    def test_mask_ending(self, tmp_path, images, masks, ending):
        assert mask_ending(images, masks, tmp_path) == ending


def test_a_source_says_how_it_reads_a_folder(tmp_path):
    write_splits(tmp_path, "{split}", "{split}annot", {"train": 5, "val": 40})
    notes = DataSource(str(tmp_path), classes=CLASSES).notes()
    assert notes == (
        "Images: train, masks: trainannot",
        "Test: half of val, chosen by a hash of the names",
    )


def test_camvid(tmp_path):
    """11 classes and the void label 11 in the folders of SegNet."""
    names = tuple(f"class {index}" for index in range(11))
    for split in SPLITS:
        for number in range(2):
            mask = np.tile(np.arange(12).repeat(3), (4, 1))
            write(tmp_path / split / f"{number}.png", np.zeros((*mask.shape, 3)))
            write(tmp_path / f"{split}annot" / f"{number}.png", mask)
    assert verify_folder(tmp_path, class_names=names, ignore_class=11) == []
    splits = load_folder(tmp_path, class_names=names, ignore_class=11, image_size=(4, 36))
    assert (splits.class_names, splits.ignore_class) == (names, 11)
    for dataset in (splits.val, splits.test):
        (_, masks), *_ = dataset
        np.testing.assert_array_equal(np.unique(masks), np.arange(12))
