import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from petseg.data import folder_examples, load_folder, pet_examples, verify_folder
from petseg.data.folder_names import SPLITS
from petseg.data.label_scheme import TRIMAPS, index_scheme
from petseg.data.masks import mask_faults, read_labels

CLASSES = ("road", "car", "sky")


def write_own(folder, count, *, labels=None, size=(20, 30)):
    """`count` images and masks; the masks hold `labels`."""
    rng = np.random.default_rng(0)
    for subfolder in ("images", "masks"):
        (folder / subfolder).mkdir(parents=True)
    for number in range(count):
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        mask = rng.choice(np.array(labels or [0, 1, 2], np.uint8), size)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


def by_name(dataset):
    return {example["file_name"].decode(): example for example in dataset.as_numpy_iterator()}


class TestOfficial:
    def test_same_as_tfds(self, official_folder, pets_dir):
        from_files, from_records = folder_examples(official_folder), pet_examples(pets_dir)
        for split in SPLITS:
            one, other = by_name(from_files[split]), by_name(from_records[split])
            assert one.keys() == other.keys()
            for name, example in one.items():
                np.testing.assert_array_equal(example["mask"], other[name]["mask"])
                # TensorFlow decodes JPEG with a faster, rougher cosine transform than Pillow.
                difference = example["image"].astype(int) - other[name]["image"]
                assert np.abs(difference).mean() < 4

    def test_loader(self, official_folder):
        splits = load_folder(official_folder, image_size=(32, 48), batch_size=4)
        assert splits.class_names == ("pet", "background", "border")
        assert splits.ignore_class is None
        images, masks = next(iter(splits.train))
        assert images.shape == (4, 32, 48, 3)
        assert set(np.unique(masks)) == {0, 1, 2}
        binary = load_folder(official_folder, image_size=(32, 32), binary=True)
        assert binary.class_names == ("pet", "background")

    def test_class_names_are_fixed(self, official_folder):
        with pytest.raises(
            ValueError, match=r"`class_names` must be None .*pet, background, border"
        ):
            load_folder(official_folder, class_names=CLASSES)

    def test_missing_files(self, official_folder, tmp_path):
        root = shutil.copytree(official_folder, tmp_path / "oxford")
        (root / "images" / "Bengal_4.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"Bengal_4.jpg is listed in trainval.txt"):
            load_folder(root)
        (root / "annotations" / "test.txt").unlink()
        with pytest.raises(FileNotFoundError, match=r"test.txt is missing. Unpack"):
            load_folder(root)


class TestOwn:
    def test_split_by_name(self, tmp_path):
        examples = folder_examples(write_own(tmp_path, 60), CLASSES)
        found = {split: by_name(dataset) for split, dataset in examples.items()}
        assert sum(map(len, found.values())) == 60
        assert len(found["train"]) > 40
        # A photo stays in its split however many come to join it.
        write_own(tmp_path / "fewer", 40)
        fewer = folder_examples(tmp_path / "fewer", CLASSES)
        for split in SPLITS:
            assert by_name(fewer[split]).keys() <= found[split].keys()

    def test_split_by_subfolder(self, tmp_path):
        for count, split in enumerate(SPLITS, start=1):
            write_own(tmp_path / split, count)
        examples = folder_examples(tmp_path, CLASSES)
        assert [len(examples[split]) for split in SPLITS] == [1, 2, 3]
        (example,) = examples["train"].as_numpy_iterator()
        expected = np.asarray(Image.open(tmp_path / "train" / "images" / "0.png"))
        np.testing.assert_array_equal(example["image"], expected)

    def test_unlabelled_is_passed_through(self, tmp_path):
        write_own(tmp_path, 60, labels=[0, 0, 1, 1, 2, 2, 255])
        splits = load_folder(tmp_path, class_names=CLASSES, image_size=(24, 24))
        assert splits.class_names == CLASSES
        assert splits.ignore_class == 255
        for dataset in (splits.train, splits.val, splits.test):
            _, masks = next(iter(dataset))
            assert set(np.unique(masks)) == {0, 1, 2, 255}

    def test_exif_orientation(self, tmp_path):
        for split in SPLITS:
            write_own(tmp_path / split, 1, size=(20, 30))
        exif = Image.Exif()
        exif[0x0112] = 6  # stored lying on its side
        upright = Image.open(tmp_path / "val" / "images" / "0.png")
        (tmp_path / "val" / "images" / "0.png").unlink()
        lying = upright.transpose(Image.Transpose.ROTATE_90)
        lying.save(tmp_path / "val" / "images" / "0.tif", exif=exif)
        (example,) = folder_examples(tmp_path, CLASSES)["val"].as_numpy_iterator()
        np.testing.assert_array_equal(example["image"], np.asarray(upright))

    @pytest.mark.parametrize("orientation", range(2, 9))
    @pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("P", "png"), ("I;16", "tif")])
    def test_masks_are_turned_by_their_own_orientation(self, tmp_path, orientation, mode, suffix):
        labels = np.arange(6).reshape(2, 3)
        image = Image.fromarray(labels.astype(np.uint16 if mode == "I;16" else np.uint8))
        if mode == "P":
            image.putpalette(range(18))
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"mask.{suffix}"
        image.save(path, exif=exif)
        # Row 0 and column 0 as the EXIF standard defines them.
        expected = {
            2: labels[:, ::-1],
            3: labels[::-1, ::-1],
            4: labels[::-1],
            5: labels.T,
            6: labels[::-1].T,
            7: labels[::-1, ::-1].T,
            8: labels[:, ::-1].T,
        }[orientation]
        np.testing.assert_array_equal(read_labels(path)[..., 0], expected)

    @pytest.mark.parametrize("orientation", [5, 6, 7, 8])
    def test_an_orientation_of_the_image_alone_is_named(self, tmp_path, orientation):
        for split in SPLITS:
            write_own(tmp_path / split, 1, size=(20, 30))
        exif = Image.Exif()
        exif[0x0112] = orientation
        image_path, mask_path = (tmp_path / "val" / kind / "0.png" for kind in ("images", "masks"))
        labels = np.repeat([[0, 1, 2]], [10, 10, 10], axis=1).repeat(20, axis=0)
        labels[0, 0] = 2
        mask = Image.fromarray(labels.astype(np.uint8))
        mask.save(mask_path)
        Image.merge("RGB", [mask] * 3).save(image_path, exif=exif)
        (problem,) = verify_folder(tmp_path, class_names=CLASSES)
        assert problem.kind == "misaligned"
        assert "its image is 30 x 20. The image has an EXIF orientation tag" in problem.detail
        with pytest.raises(tf.errors.OpError, match="EXIF orientation tag"):
            next(iter(folder_examples(tmp_path, CLASSES)["val"]))
        # The remedy of the message makes mask and image alike.
        (code,) = (part for part in problem.detail.split("`") if "Image.fromarray" in part)
        eval(code, {"Image": Image, "np": np, "mask": np.asarray(mask)}).save(mask_path)
        assert verify_folder(tmp_path, class_names=CLASSES) == []
        (example,) = folder_examples(tmp_path, CLASSES)["val"].as_numpy_iterator()
        np.testing.assert_array_equal(example["image"][..., :1], example["mask"])
        # A mask with a tag of its own was turned already.
        Image.open(mask_path).save(mask_path, exif=exif)
        (problem,) = verify_folder(tmp_path, class_names=CLASSES)
        assert "Save the mask at the size of its image" in problem.detail

    def test_files_are_read_late(self, tmp_path):
        write_own(tmp_path, 60)
        for path in (tmp_path / "images").iterdir():
            path.write_bytes(b"no image")
        splits = load_folder(tmp_path, class_names=CLASSES)
        with pytest.raises(tf.errors.OpError, match=r"images.\d+\.png is not an image"):
            next(iter(splits.val))

    def test_bad_mask_names_file_and_remedy(self, tmp_path):
        write_own(tmp_path, 60, labels=[0, 3])
        splits = load_folder(tmp_path, class_names=CLASSES)
        expected = (
            r"masks.\d+\.png has labels 3, expected 0 to 2 or 255\. If 3 means no class, pass "
            r"`ignore_class=3`.*verify_folder"
        )
        with pytest.raises(tf.errors.OpError, match=expected):
            next(iter(splits.val))

    @pytest.mark.parametrize(
        "class_names",
        [None, "car", (), ("car",), ("car", "car"), (1, 2), ("car", " "), ["a"] * 300],
    )
    def test_bad_class_names(self, class_names, tmp_path):
        write_own(tmp_path, 1)
        with pytest.raises(ValueError, match="`class_names` must hold two or more different names"):
            load_folder(tmp_path, class_names=class_names)

    def test_at_most_255_class_names(self, tmp_path):
        write_own(tmp_path, 60)
        names = [f"class {number}" for number in range(256)]
        assert load_folder(tmp_path, class_names=names[:255]).class_names == tuple(names[:255])
        with pytest.raises(ValueError, match=r"`class_names` .* at most 255 .*Received: 256"):
            load_folder(tmp_path, class_names=names)

    def test_binary_is_for_pets(self, tmp_path):
        write_own(tmp_path, 60)
        with pytest.raises(ValueError, match="`binary` must be False with `class_names`"):
            load_folder(tmp_path, class_names=CLASSES, binary=True)

    def test_bad_roots(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`root` must be a folder"):
            load_folder(tmp_path / "nowhere", class_names=CLASSES)
        with pytest.raises(FileNotFoundError, match=r"images is missing. `root` must hold images/"):
            load_folder(tmp_path, class_names=CLASSES)
        for split in ("train", "val"):
            write_own(tmp_path / split, 1)
        (tmp_path / "val" / "masks").rename(tmp_path / "val" / "mask")
        with pytest.raises(FileNotFoundError, match=r"val.masks is missing. `root` must hold"):
            load_folder(tmp_path, class_names=CLASSES)

    def test_empty_split(self, tmp_path):
        write_own(tmp_path, 1)
        with pytest.raises(ValueError, match="`root` must have images for every split"):
            load_folder(tmp_path, class_names=CLASSES)

    def test_files_of_other_kinds_are_left_out(self, tmp_path):
        write_own(tmp_path, 60)
        for name in (".hidden.png", "Thumbs.db", "notes.txt"):
            (tmp_path / "images" / name).touch()
        examples = folder_examples(tmp_path, CLASSES)
        assert sum(len(dataset) for dataset in examples.values()) == 60

    @pytest.mark.parametrize(
        ("layout", "names", "fault"),
        [
            ("", ("images/sub", "masks/sub"), "it is a subfolder. Move its files to .*images"),
            ("", ("images/more/sub",), "it is a subfolder"),
            ("train", ("train/masks/sub",), "it is a subfolder"),
            ("train", ("images", "masks"), "because .*train exists. Move its files to train, val"),
            ("", ("test/images",), "because .*train does not exist. Create it"),
        ],
    )
    def test_images_in_other_folders_are_an_error(self, tmp_path, layout, names, fault):
        for folder in (tmp_path / split for split in SPLITS) if layout else (tmp_path,):
            write_own(folder, 60)
        # What is not read on purpose.
        (tmp_path / layout / "images" / ".cache").mkdir()
        Image.new("L", (3, 3)).save(tmp_path / layout / "images" / ".cache" / "0.png")
        (tmp_path / layout / "images" / "notes").mkdir()
        assert verify_folder(tmp_path, class_names=CLASSES) == []
        for name in names:
            (tmp_path / name).mkdir(parents=True)
            Image.new("L", (3, 3)).save(tmp_path / name / "0.png")
        problems = verify_folder(tmp_path, class_names=CLASSES)
        assert {(problem.kind, problem.severity) for problem in problems} == {
            ("misplaced", "error")
        }
        found = [problem.file for problem in problems]
        assert found == [str(tmp_path / name.replace("more/sub", "more")) for name in names]
        with pytest.raises(ValueError, match=f"{found[0]} is not read, .*{fault}"):
            load_folder(tmp_path, class_names=CLASSES)

    def test_mask_without_image(self, tmp_path):
        write_own(tmp_path, 3)
        (tmp_path / "images" / "1.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"masks.1.png has no file of the same name in"):
            load_folder(tmp_path, class_names=CLASSES)

    def test_names_in_different_unicode_normalizations(self, tmp_path):
        """As in archives from macOS, whose names are in NFD."""
        write_own(tmp_path, 40)  # some for each split
        (tmp_path / "images" / "1.png").rename(tmp_path / "images" / "caf\u00e9.png")
        (tmp_path / "masks" / "1.png").rename(tmp_path / "masks" / "cafe\u0301.png")
        (tmp_path / "masks" / "2.png").unlink()
        *alike, alone = sorted(
            verify_folder(tmp_path, class_names=CLASSES), key=lambda each: "2.png" in each.file
        )
        assert len(alike) == 2
        assert all("differs in Unicode normalization (NFC or NFD" in each.detail for each in alike)
        assert "Unicode" not in alone.detail
        (tmp_path / "images" / "2.png").unlink()
        with pytest.raises(FileNotFoundError, match="Unicode normalization"):
            load_folder(tmp_path, class_names=CLASSES)

    def test_ambiguous_names(self, tmp_path):
        write_own(tmp_path, 3)
        shutil.copy(tmp_path / "images" / "1.png", tmp_path / "images" / "1.webp")
        with pytest.raises(ValueError, match=r"1.webp and 1.png have the same name"):
            load_folder(tmp_path, class_names=CLASSES)


class TestLabels:
    @pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "I"])
    def test_grey_and_palette(self, mode, tmp_path):
        labels = np.array([[0, 1, 1], [1, 0, 0]])
        image = Image.fromarray(labels.astype(np.uint8))
        if mode == "P":
            image.putpalette([255, 0, 0, 0, 255, 0])
        elif mode == "1":
            image = Image.fromarray(labels.astype(bool))
        elif mode != "L":
            image = Image.fromarray(labels.astype({"I": np.int32, "I;16": np.uint16}[mode]))
        image.save(tmp_path / "mask.tif")
        with Image.open(tmp_path / "mask.tif") as saved:
            assert saved.mode == mode
        np.testing.assert_array_equal(read_labels(tmp_path / "mask.tif")[..., 0], labels)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_colours_are_no_labels(self, tmp_path, mode):
        pixels = np.zeros((4, 6, 3), np.uint8)
        pixels[:, 3:, 0] = 255
        Image.fromarray(pixels).convert(mode).save(tmp_path / "mask.png")
        expected = (
            rf"mask.png must hold one integer per pixel.*mode {mode} with the colours "
            r"\(0, 0, 0\), \(255, 0, 0\)\. If the colours stand for classes, pass a table of them "
            r"as `labels`"
        )
        with pytest.raises(ValueError, match=expected):
            read_labels(tmp_path / "mask.png")
        colours = read_labels(tmp_path / "mask.png", colours=True)
        np.testing.assert_array_equal(colours[0, :, 0], [0] * 3 + [0x0000FF] * 3)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
    def test_grey_in_several_channels(self, tmp_path, mode):
        grey = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
        grey.convert(mode).save(tmp_path / "mask.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "mask.png")[..., 0], [[0, 1, 2]])

    def test_fractions_are_no_labels(self, tmp_path):
        Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "mask.tif")
        with pytest.raises(ValueError, match=r"mode F\. Save whole numbers"):
            read_labels(tmp_path / "mask.tif")

    @pytest.mark.parametrize(
        ("name", "options"),
        [("0.jpg", {}), ("0.png", {"format": "JPEG"}), ("0.tif", {"compression": "jpeg"})],
    )
    def test_jpeg_is_refused(self, tmp_path, name, options):
        """Whatever its name, and whether or not its labels happen to be classes."""
        for split in SPLITS:
            write_own(tmp_path / split, 1)
        (tmp_path / "val" / "masks" / "0.png").unlink()
        mask = Image.fromarray(np.eye(20, 30, dtype=np.uint8))
        mask.save(tmp_path / "val" / "masks" / name, **options)
        (problem,) = verify_folder(tmp_path, class_names=CLASSES)
        assert (problem.kind, problem.severity) == ("unreadable", "error")
        assert problem.detail.startswith("must be compressed without loss. Received: a JPEG image")
        with pytest.raises(tf.errors.OpError, match=r"0\.\w+ must be compressed without loss"):
            next(iter(folder_examples(tmp_path, CLASSES)["val"]))

    def test_no_image(self, tmp_path):
        (tmp_path / "mask.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"mask.png cannot be read as a mask"):
            read_labels(tmp_path / "mask.png")

    def test_faults(self):
        image = np.zeros((4, 6, 3))
        assert mask_faults(np.full((4, 6, 1), 255), image, index_scheme(CLASSES, 255)) == {}
        assert mask_faults(np.ones((4, 6, 1), np.uint8), image, TRIMAPS) == {}
        faults = mask_faults(np.arange(8).reshape(2, 4, 1), image, TRIMAPS)
        assert faults == {
            "misaligned": "is 2 x 4 pixels (height x width), but its image is 4 x 6. Save the mask "
            "at the size of its image.",
            "mislabelled": "has labels 0, 4, 5, 6, 7, expected 1 to 3. Restore the trimap from "
            "annotations.tar.gz.",
        }

    @pytest.mark.parametrize(
        ("labels", "remedy"),
        [
            (
                [1, 2, 3],
                "If your labels start at 1, pass `labels={0: None, 1: 'road', 2: 'car', 3: 'sky'}`."
                " If 3 means no class, pass `ignore_class=3`. Otherwise",
            ),
            ([0, 3], "If 3 means no class, pass `ignore_class=3`. Otherwise name every class."),
            ([0, 7], "Give each label its class with a table as `labels`"),
            (range(200), "JPEG compression or interpolation often makes so many labels: save"),
        ],
    )
    def test_the_remedy_fits_the_labels(self, labels, remedy):
        mask = np.array([labels])[..., None]
        image = np.zeros((*mask.shape[:2], 3))
        (detail,) = mask_faults(mask, image, index_scheme(CLASSES, 255)).values()
        assert f", expected 0 to 2 or 255. {remedy}" in detail
