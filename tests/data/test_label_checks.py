"""What is wrong with the labels of a whole dataset, in real files."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.data import DataSource, LabelWarning, Problem, load_folder, verify_folder
from petseg.data.folder_names import SPLITS
from petseg.data.label_checks import LEAST_SAMPLED_MASKS, SAMPLED_MASKS

TWO = ("background", "object")
THREE = ("road", "car", "sky")
VOID_AS_OBJECT = "`labels={0: 'background', 255: 'object'}`"


def write_pair(folder, name, mask):
    for kind, pixels in (("images", np.zeros((*mask.shape, 3))), ("masks", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        pixels = pixels.astype(np.uint16 if pixels.max() > 255 else np.uint8)
        Image.fromarray(pixels).save(folder / kind / f"{name}.png")


def striped(*labels, width=10):
    """A mask with a column for each of ten labels, repeated to that number."""
    return np.tile(np.resize(np.array(labels), width), (4, 1))


def write_splits(root, count=2, **masks):
    """Writes `count` equal examples for each split, with the mask given for it or for `every`."""
    for split in SPLITS:
        for number in range(count):
            write_pair(root / split, f"{number}", masks.get(split, masks.get("every")))
    return root


def the_problem(root, class_names):
    (problem,) = verify_folder(root, class_names=class_names)
    assert DataSource(str(root), classes=class_names).problems() == [problem]
    assert problem.file == str(root)
    assert "\n" not in str(problem)
    return problem


def remedies(detail):
    """The arguments that the detail of a problem tells to pass."""
    codes = (part for part in detail.split("`") if "=" in part)
    return [eval(f"dict({code})") for code in codes]


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class TestBlackAndWhite:
    """Masks of 0 and 255, where 255 is meant to be the second class."""

    @pytest.mark.parametrize("background", [1, 9])
    def test_verify(self, tmp_path, background):
        # The object may be small: 1 column of 10.
        mask = striped(*[0] * background, *[255] * (10 - background))
        problem = the_problem(write_splits(tmp_path, every=mask), TWO)
        assert (problem.kind, problem.severity) == ("absent", "error")
        assert problem.detail == (
            "no label but 0 and 255 occurs in 6 masks, and 255 means no class. If 255 marks "
            f'class 1 "object", pass {VOID_AS_OBJECT}.'
        )

    def test_the_remedy_works(self, tmp_path):
        write_splits(tmp_path, every=striped(0, 0, 0, 255))
        (remedy,) = remedies(the_problem(tmp_path, TWO).detail)
        assert verify_folder(tmp_path, **remedy) == []
        (_, mask), *_ = load_folder(tmp_path, image_size=(4, 10), batch_size=1, **remedy).val
        np.testing.assert_array_equal(mask[0, 0, :, 0], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0])

    def test_255_is_the_first_class(self, tmp_path):
        problem = the_problem(write_splits(tmp_path, every=striped(1, 255)), TWO)
        assert "no label but 1 and 255 occurs" in problem.detail
        assert 'If 255 marks class 0 "background", pass `labels={1: ' in problem.detail

    def test_three_names(self, tmp_path):
        problem = the_problem(write_splits(tmp_path, every=striped(0, 255)), THREE)
        assert problem.kind == "absent"
        assert "marks a class, name its label in `labels`, such as `labels={0:" in problem.detail

    def test_nothing_but_255(self, tmp_path):
        problem = the_problem(write_splits(tmp_path, every=striped(255)), TWO)
        assert "no label but 255 occurs in 6 masks" in problem.detail

    def test_loading_warns(self, tmp_path):
        write_splits(tmp_path, every=striped(0, 0, 0, 255))
        for load in (
            lambda: load_folder(tmp_path, class_names=TWO),
            lambda: DataSource(str(tmp_path), classes=TWO).splits(),
        ):
            with pytest.warns(LabelWarning) as caught:
                assert load().ignore_class == 255
            (warning,) = caught
            assert str(warning.message) == (
                f"{tmp_path}: no label but 0 and 255 occurs in 2 training masks, and 255 means no "
                f'class. If 255 marks class 1 "object", pass {VOID_AS_OBJECT}. '
                "`petseg.data.verify_folder` checks every mask. To silence this: "
                '`warnings.simplefilter("ignore", petseg.data.LabelWarning)`.'
            )

    def test_the_warning_names_the_line_that_loads(self, tmp_path):
        write_splits(tmp_path, every=striped(0, 255))
        with pytest.warns(LabelWarning) as caught:
            load_folder(tmp_path, class_names=TWO)
        assert Path(caught[0].filename) == Path(__file__)

    @pytest.mark.usefixtures("no_warning")
    def test_the_warning_can_be_switched_off(self, tmp_path):
        write_splits(tmp_path, every=striped(0, 255))
        warnings.simplefilter("ignore", LabelWarning)
        load_folder(tmp_path, class_names=TWO)

    @pytest.mark.usefixtures("no_warning")
    def test_0_and_1_are_well(self, tmp_path):
        write_splits(tmp_path, every=striped(0, 1))
        assert verify_folder(tmp_path, class_names=TWO) == []
        load_folder(tmp_path, class_names=TWO)


class TestClasses:
    def test_absent(self, tmp_path):
        problem = the_problem(write_splits(tmp_path, every=striped(0, 2)), THREE)
        assert problem == Problem(
            str(tmp_path),
            "absent",
            'class 1 "car" occurs in no mask. Label some pixels of this class, or remove its name '
            "and renumber the labels.",
        )

    def test_absent_beside_255(self, tmp_path):
        problem = the_problem(write_splits(tmp_path, every=striped(0, 0, 0, 0, 2, 255)), THREE)
        assert problem.kind == "absent"
        expected = "marks it, pass `labels={0: 'road', 2: 'sky', 255: 'car'}`."
        assert expected in problem.detail

    def test_absent_in_train(self, tmp_path):
        root = write_splits(tmp_path, train=striped(0, 1), every=striped(0, 1, 2))
        problem = the_problem(root, THREE)
        assert (problem.kind, problem.severity) == ("absent", "error")
        assert problem.detail == (
            'class 2 "sky" occurs in val and test but in no mask of train, so a model cannot '
            "learn it. Move images with this class to train."
        )

    @pytest.mark.parametrize(
        ("without", "where"), [(("val",), "val"), (("val", "test"), "val and test")]
    )
    def test_only_in_train(self, tmp_path, without, where):
        masks = dict.fromkeys(without, striped(0, 1))
        problem = the_problem(write_splits(tmp_path, every=striped(0, 1, 2), **masks), THREE)
        assert (problem.kind, problem.severity) == ("unscored", "warning")
        assert problem.detail.startswith(f'class 2 "sky" occurs in no mask of {where}, so it')

    def test_one_problem_for_each_class(self, tmp_path):
        root = write_splits(tmp_path, every=striped(1))
        problems = verify_folder(root, class_names=THREE)
        assert [problem.kind for problem in problems] == ["absent", "absent"]
        assert [problem.detail.split('"')[1] for problem in problems] == ["road", "sky"]

    def test_in_one_mask_is_enough(self, tmp_path):
        write_splits(tmp_path, every=striped(0, 1))
        for split in SPLITS:
            write_pair(tmp_path / split, "rare", striped(*[0] * 9, 2))
        assert verify_folder(tmp_path, class_names=THREE) == []

    def test_official_archives_with_a_class_absent(self, official_folder, tmp_path):
        trimaps = tmp_path / "annotations" / "trimaps"
        trimaps.mkdir(parents=True)
        (tmp_path / "images").symlink_to(official_folder / "images")
        for listing in ("trainval.txt", "test.txt"):
            names = (official_folder / "annotations" / listing).read_text()
            (tmp_path / "annotations" / listing).write_text(names)
        for path in (official_folder / "annotations" / "trimaps").iterdir():
            with Image.open(path) as image:
                Image.fromarray(np.minimum(np.asarray(image), 2)).save(trimaps / path.name)
        (problem,) = verify_folder(tmp_path)
        assert str(problem) == (
            f'{tmp_path}: absent: class 3 "border" occurs in no mask. Restore the trimaps from '
            "annotations.tar.gz."
        )

    def test_files_that_cannot_be_read_say_nothing_of_classes(self, tmp_path):
        root = write_splits(tmp_path, every=striped(0, 1))
        for path in root.rglob("masks/*.png"):
            path.write_bytes(b"no image")
        problems = verify_folder(root, class_names=TWO)
        assert [problem.kind for problem in problems] == ["unreadable"] * 6


class TestUnlabelled:
    # 24 and 26 of 100 pixels.
    UNDER, OVER = (
        np.repeat([[0, 1, 255]], [38, 100 - 38 - void, void], axis=1) for void in (24, 26)
    )

    @pytest.mark.usefixtures("no_warning")
    def test_under_the_limit(self, tmp_path):
        write_splits(tmp_path, every=self.UNDER)
        assert verify_folder(tmp_path, class_names=TWO) == []
        load_folder(tmp_path, class_names=TWO)

    def test_over_the_limit(self, tmp_path):
        problem = the_problem(write_splits(tmp_path, every=self.OVER), TWO)
        assert (problem.kind, problem.severity) == ("unlabelled", "warning")
        assert problem.detail == (
            "26.0% of the pixels of 6 masks have the label 255, no class, and are ignored in "
            f"training and scores. If 255 marks a class, name it in `labels`, such as "
            f"{VOID_AS_OBJECT}. If the labels are sparse on purpose, accept this."
        )
        with pytest.warns(LabelWarning, match=r"26\.0% of the pixels of 2 training masks"):
            load_folder(tmp_path, class_names=TWO)

    def test_the_share_is_of_all_pixels_together(self, tmp_path):
        # 26 of 100 in train, 24 of 100 in val and test: 152 of 600.
        root = write_splits(tmp_path, train=self.OVER, every=self.UNDER)
        assert verify_folder(root, class_names=TWO) == []
        write_pair(root / "train", "large", np.tile(self.OVER, (20, 1)))
        assert the_problem(root, TWO).kind == "unlabelled"


class TestSample:
    @pytest.fixture
    def read(self, monkeypatch):
        """The masks that loading reads."""
        from petseg.data import label_checks

        seen = []

        def spy(path, **options):
            seen.append(path)
            return read_labels(path, **options)

        read_labels = label_checks.read_labels
        monkeypatch.setattr(label_checks, "read_labels", spy)
        return seen

    def write_many(self, root, mask):
        write_splits(root, every=mask)
        for number in range(2, 100):
            write_pair(root / "train", f"{number}", mask)

    def test_of_a_large_folder(self, tmp_path, read):
        self.write_many(tmp_path, striped(0, 255))
        with pytest.warns(LabelWarning, match=r"in a sample of 32 of 100 training masks, and 255"):
            load_folder(tmp_path, class_names=TWO, seed=0)
        assert len(set(read)) == len(read) == SAMPLED_MASKS == 32
        assert {path.parent for path in read} == {tmp_path / "train" / "masks"}
        # Not the first 32 by name, and the same ones whatever the seed of the training is.
        assert read != sorted((tmp_path / "train" / "masks").iterdir())[:32]
        with pytest.warns(LabelWarning):
            load_folder(tmp_path, class_names=TWO, seed=1)
        assert read[32:] == read[:32]

    def test_of_large_masks(self, tmp_path, read, monkeypatch):
        monkeypatch.setattr("petseg.data.label_checks.SAMPLED_PIXELS", 10)
        self.write_many(tmp_path, striped(0, 255))
        with pytest.warns(LabelWarning, match="in a sample of 8 of 100 training masks"):
            load_folder(tmp_path, class_names=TWO)
        assert len(read) == LEAST_SAMPLED_MASKS == 8

    @pytest.mark.usefixtures("no_warning")
    def test_bad_files_are_left_to_the_batches(self, tmp_path, read):
        write_splits(tmp_path, every=striped(0, 1))
        (tmp_path / "train" / "masks" / "0.png").write_bytes(b"no image")
        load_folder(tmp_path, class_names=TWO)
        assert len(read) == 2

    @pytest.mark.usefixtures("no_warning")
    def test_the_official_archives_are_not_looked_at(self, official_folder, read):
        load_folder(official_folder)
        load_folder(official_folder, binary=True)
        assert read == []


class TestUnknownLabels:
    def test_each_label_has_its_share(self, tmp_path):
        root = write_splits(tmp_path, every=striped(0, 0, 1, 1, 2, 2, 1, 256, 512, 512))
        *files, one, other = verify_folder(root, class_names=THREE)
        assert "has labels 256, 512, expected 0 to 2 or 255. Give each" in files[0].detail
        assert (one.kind, one.severity) == ("unknown", "error")
        assert one.detail == (
            "label 256 is in 10.0% of the pixels of 6 masks (24 pixels, 6 masks) and is no class. "
            "Pass a table of all labels as `labels`, without a name for those that mean no class."
        )
        assert other.detail.startswith("label 512 is in 20.0% of the pixels of 6 masks (48 pix")
        labels = {0: "road", 1: "car", 2: "sky", 256: None, 512: "sky"}
        assert verify_folder(root, labels=labels) == []

    def test_the_label_after_the_last(self, tmp_path):
        """As in CamVid: 11 classes, 11 is void."""
        root = write_splits(tmp_path, every=striped(0, 1, 2, 3))
        dataset = verify_folder(root, class_names=THREE)[-1]
        (remedy,) = remedies(dataset.detail)
        assert remedy == {"ignore_class": 3}
        assert verify_folder(root, class_names=THREE, **remedy) == []
        assert load_folder(root, class_names=THREE, **remedy).ignore_class == 3

    def test_many_labels_are_one_problem(self, tmp_path):
        root = write_splits(tmp_path, every=striped(*range(100), width=100))
        *_, dataset = verify_folder(root, class_names=THREE)
        assert dataset.detail.startswith("97 labels in 97.0% of the pixels of 6 masks stand for")


class TestLabelsFromOne:
    def test_every_file_names_the_remedy(self, tmp_path):
        root = write_splits(tmp_path, every=striped(1, 1, 1, 2, 3, 255))
        *files, unknown, absent = verify_folder(root, class_names=THREE)
        assert {problem.kind for problem in files} == {"mislabelled"}
        assert len(files) == 6
        for problem in files:
            assert "has labels 3, expected 0 to 2 or 255. If your labels start at 1" in str(problem)
            assert "\n" not in str(problem)
        assert (unknown.kind, absent.kind) == ("unknown", "absent")
        assert 'class 0 "road" occurs in no mask. If your labels start at 1' in absent.detail
        remedy = remedies(files[0].detail)[0]
        assert remedies(absent.detail)[0] == remedy
        assert verify_folder(root, **remedy) == []
        splits = load_folder(root, image_size=(4, 10), batch_size=1, **remedy)
        assert splits.class_names == THREE
        (_, mask), *_ = splits.val
        np.testing.assert_array_equal(mask[0, 0, :6, 0], [0, 0, 0, 1, 2, 255])


class TestOtherVoidLabels:
    """What is said of 255 is said of any label of no class."""

    def test_binary(self, tmp_path):
        root = write_splits(tmp_path, every=striped(0, 7))
        (problem,) = verify_folder(root, class_names=TWO, ignore_class=7)
        assert "no label but 0 and 7 occurs in 6 masks, and 7 means no class" in problem.detail
        assert remedies(problem.detail) == [{"labels": {0: "background", 7: "object"}}]
        assert "255" not in problem.detail

    def test_many_unlabelled(self, tmp_path):
        root = write_splits(tmp_path, every=striped(0, 1, 7))
        (problem,) = verify_folder(root, class_names=TWO, ignore_class=7)
        assert problem.detail.startswith(
            "30.0% of the pixels of 6 masks have the label 7, no class"
        )
        with pytest.warns(LabelWarning, match="the label 7, no class"):
            load_folder(root, class_names=TWO, ignore_class=7)

    def test_none(self, tmp_path):
        root = write_splits(tmp_path, every=striped(0, 1, 255))
        problems = verify_folder(root, class_names=TWO, ignore_class=None)
        assert "has labels 255, expected 0 to 1. " in problems[0].detail
        assert "label 255 is in 30.0% of the pixels" in problems[-1].detail

    @pytest.mark.usefixtures("no_warning")
    def test_a_class_that_is_ignored_is_not_missed(self, tmp_path):
        root = write_splits(tmp_path, every=striped(0, 1, 2, 1, 2))
        names = ("Void", "car", "sky")  # The name says it.
        assert verify_folder(root, class_names=names, ignore_class=0) == []
        write_splits(tmp_path / "without", every=striped(1, 2))
        assert verify_folder(tmp_path / "without", class_names=names, ignore_class=0) == []

    @pytest.mark.parametrize("ignored", [0, 2])
    def test_an_ignored_class_is_warned_of(self, tmp_path, ignored):
        root = write_splits(tmp_path, every=striped(0, 1, 2, 1, 1, 1, 1, 1, 1, 1))
        (problem,) = verify_folder(root, class_names=THREE, ignore_class=ignored)
        assert (problem.kind, problem.severity) == ("unscored", "warning")
        assert problem.detail.startswith(
            f'class {ignored} "{THREE[ignored]}" is also the label of no class, '
            f"`ignore_class={ignored}`: it is not learned and gets no score. If {ignored} marks "
            "the class, pass `ignore_class=255`. "
        )
        _, as_class, as_void = remedies(problem.detail)
        assert verify_folder(root, class_names=THREE, **as_class) == []
        assert verify_folder(root, **as_void) == []
        assert as_void["labels"] == {**dict(enumerate(THREE)), ignored: None}

    def test_an_ignored_class_of_two(self, tmp_path):
        """One class alone cannot be trained."""
        root = write_splits(tmp_path, every=striped(0, 0, 0, 0, 0, 0, 0, 0, 1, 1))
        (problem,) = verify_folder(root, class_names=TWO, ignore_class=1)
        assert remedies(problem.detail) == [{"ignore_class": 1}, {"ignore_class": 255}]

    @pytest.mark.parametrize(
        ("void", "labels"),
        [
            (0, {0: None, 1: "road", 2: "car", 3: "sky"}),
            (1, {0: "road", 1: None, 2: "car", 3: "sky"}),
        ],
    )
    def test_void_before_the_classes(self, tmp_path, void, labels):
        """The names leave the label of no class out, and the labels run one further."""
        root = write_splits(tmp_path, every=striped(0, 1, 2, 3, 2, 3))
        problems = verify_folder(root, class_names=THREE, ignore_class=void)
        assert problems[0].detail.startswith("has labels 3, expected 0 to 2. If ")
        assert [problem.kind for problem in problems] == ["mislabelled"] * 6 + ["unknown"]
        assert all(remedies(problem.detail) == [{"labels": labels}] for problem in problems)
        assert verify_folder(root, labels=labels) == []
