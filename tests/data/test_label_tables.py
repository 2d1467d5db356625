"""What labels and colours in masks mean: tables as arguments and in files."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from petseg.data import DataSource, describe, folder_examples, load_folder, verify_folder
from petseg.data.folder_names import SPLITS
from petseg.data.label_scheme import index_scheme, pack_colours, table_scheme
from petseg.data.label_tables import read_label_file

RED, GREEN, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 0)
COLOURS = {RED: "car", GREEN: "road", BLACK: None}


def write_masks(root, mask, suffix="png", mode=None):
    image = Image.fromarray(mask)
    if mode == "P":
        image = image.quantize(8)
    elif mode is not None:
        image = image.convert(mode)
    for split in SPLITS:
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        image.save(root / split / "masks" / f"0.{suffix}")
        Image.new("RGB", image.size).save(root / split / "images" / "0.png")
    return root


def stripes(*values, dtype=np.uint8):
    return np.tile(np.array(values, dtype), (2, 1, 1) if isinstance(values[0], tuple) else (2, 1))


def the_mask(root, **options):
    (example,) = folder_examples(root, **options)["val"].as_numpy_iterator()
    return example["mask"][0, :, 0].tolist()


class TestLabels:
    def test_merge_and_drop(self, tmp_path):
        write_masks(tmp_path, stripes(0, 7, 8, 11, 255))
        labels = {0: "background", 7: "road", 8: "road", 11: None}
        assert the_mask(tmp_path, labels=labels) == [0, 1, 1, 255, 255]
        splits = load_folder(tmp_path, labels=labels)
        assert splits.class_names == ("background", "road")
        assert splits.ignore_class == 255
        assert verify_folder(tmp_path, labels=labels) != []  # many unlabelled pixels

    def test_class_names_fix_the_order(self, tmp_path):
        write_masks(tmp_path, stripes(0, 7, 8))
        labels, names = {0: "background", 7: "road", 8: "road"}, ("road", "background")
        assert the_mask(tmp_path, class_names=names, labels=labels) == [1, 0, 0]
        assert load_folder(tmp_path, class_names=names, labels=labels).class_names == names
        expected = "`class_names` must hold the class names of `labels`: background, road"
        with pytest.raises(ValueError, match=expected):
            load_folder(tmp_path, class_names=("road", "car"), labels=labels)

    def test_a_void_label_among_the_stored(self, tmp_path):
        write_masks(tmp_path, stripes(0, 7, 8))
        labels = {7: "road", 8: "car"}
        assert the_mask(tmp_path, labels=labels, ignore_class=0) == [255, 0, 1]
        assert load_folder(tmp_path, labels=labels, ignore_class=0).ignore_class == 255
        assert load_folder(tmp_path, labels=labels, ignore_class=9).ignore_class == 9

    @pytest.mark.parametrize(
        ("suffix", "dtype"), [("png", "uint16"), ("tif", "uint16"), ("tif", "int32")]
    )
    def test_wide_labels(self, tmp_path, suffix, dtype):
        write_masks(tmp_path, stripes(0, 1000, 26001, dtype=dtype), suffix)
        labels = {0: "background", 1000: "road", 26001: "car"}
        assert the_mask(tmp_path, labels=labels) == [0, 1, 2]
        assert verify_folder(tmp_path, labels=labels) == []

    def test_a_wide_void_label(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1, 1, 0, 65535, dtype="uint16"))
        options = {"class_names": ("a", "b"), "ignore_class": 65535}
        assert the_mask(tmp_path, **options) == [0, 1, 1, 0, 255]
        assert load_folder(tmp_path, **options).ignore_class == 255
        assert verify_folder(tmp_path, **options) == []

    def test_wide_labels_never_become_narrow_ones(self, tmp_path):
        write_masks(tmp_path, stripes(0, 256, 2**24, -1, dtype="int32"), "tif")
        detail = verify_folder(tmp_path, class_names=("a", "b"))[0].detail
        assert detail.startswith("has labels -1, 256, 16777216, expected 0 to 1 or 255.")

    def test_no_void(self, tmp_path):
        write_masks(tmp_path, stripes(*range(256)))
        names = [f"class {index}" for index in range(256)]
        assert the_mask(tmp_path, class_names=names, ignore_class=None) == list(range(256))
        assert load_folder(tmp_path, class_names=names, ignore_class=None).ignore_class is None

    def test_labels_that_the_table_lacks(self, tmp_path):
        write_masks(tmp_path, stripes(0, 7, 7, 9))
        *files, dataset = verify_folder(tmp_path, labels={0: "background", 7: "road"})
        assert len(files) == 3
        assert files[0].detail.startswith("has labels 9, expected those in `labels`. Add them to")
        assert dataset.detail == (
            "label 9 is in 25.0% of the pixels of 3 masks (6 pixels, 3 masks) and is not in "
            "`labels`. Add it to `labels` with the name of its class, or without a name where it "
            "means no class."
        )
        with pytest.raises(tf.errors.OpError, match="has labels 9, expected those in `labels`"):
            the_mask(tmp_path, labels={0: "background", 7: "road"})

    def test_describe_counts_the_void_label(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1, 2, 2))
        source = DataSource(str(tmp_path), classes=("a", "b"), ignore_class=2)
        summary = source.describe()["train"]
        assert summary.class_shares == {"a": 0.25, "b": 0.25}
        assert summary.unlabelled_share == 0.5
        examples = folder_examples(tmp_path, ("a", "b", "c"), ignore_class=0)
        summary = describe(examples, ("a", "b", "c"), 0)["val"]
        assert summary.class_shares == {"a": 0, "b": 0.25, "c": 0.5}
        assert summary.unlabelled_share == 0.25

    @pytest.mark.parametrize(
        ("labels", "fault"),
        [
            ({}, "must be a mapping such as"),
            (3, "must be a mapping such as"),
            ({-1: "a", 1: "b"}, "must have labels of 0 to 65535"),
            ({(0, 0, 256): "a", BLACK: "b"}, "must have labels of 0 to 65535 or colours"),
            ({True: "a", 2: "b"}, "must have labels of 0 to 65535"),
            ({0: "a", BLACK: "b"}, "must have either labels or colours"),
            ({0: "a", 1: ""}, "must give each label a class name"),
            ({0: "a", 1: 2}, "must give each label a class name"),
            ({0: "a", 1: None}, "must hold two or more different names"),
        ],
    )
    def test_bad_tables(self, tmp_path, labels, fault):
        write_masks(tmp_path, stripes(0, 1))
        with pytest.raises(ValueError, match=f"`labels` {fault}"):
            load_folder(tmp_path, labels=labels)

    def test_void_needs_a_label(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1))
        labels = {0: "a", 1: "b", 2: None}
        with pytest.raises(ValueError, match="`ignore_class` must be a label where `labels` has"):
            load_folder(tmp_path, labels=labels, ignore_class=None)

    @pytest.mark.parametrize("value", [-1, 65536, True, "none", 1.0])
    def test_bad_ignore_class(self, tmp_path, value):
        write_masks(tmp_path, stripes(0, 1))
        with pytest.raises(ValueError, match="`ignore_class` must be a label, 0 to 65535, or None"):
            load_folder(tmp_path, class_names=("a", "b"), ignore_class=value)

    def test_not_for_the_official_archives(self, official_folder):
        with pytest.raises(ValueError, match="`labels` must be None for the official archives"):
            load_folder(official_folder, labels={1: "pet", 2: "background"})


class TestColours:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
    def test_modes(self, tmp_path, mode):
        write_masks(tmp_path, stripes(RED, GREEN, GREEN, BLACK), mode=mode)
        assert the_mask(tmp_path, labels=COLOURS) == [0, 1, 1, 255]
        splits = load_folder(tmp_path, labels=COLOURS, image_size=(2, 4))
        assert splits.class_names == ("car", "road")
        (_, masks), *_ = splits.test
        np.testing.assert_array_equal(masks[0, 0, :, 0], [0, 1, 1, 255])

    def test_a_colour_that_the_table_lacks(self, tmp_path):
        write_masks(tmp_path, stripes(RED, RED, GREEN, GREEN, (1, 2, 3)))
        *_, dataset = verify_folder(tmp_path, labels=COLOURS)
        assert dataset.kind == "unknown"
        assert dataset.detail.startswith(
            "colour (1, 2, 3) is in 20.0% of the pixels of 3 masks (6 pixels, 3 masks) and is not "
            "in `labels`. Add it to `labels` with"
        )

    def test_all_colours_are_listed_where_there_is_no_table(self, tmp_path):
        write_masks(tmp_path, stripes(RED, GREEN, GREEN, GREEN))
        Image.fromarray(stripes(GREEN, BLACK, RED, RED)).save(tmp_path / "val" / "masks" / "0.png")
        for options in ({"class_names": ("a", "b")}, {"labels": {0: "a", 1: "b"}}):
            *files, green, red, black = verify_folder(tmp_path, **options)
            assert [problem.kind for problem in files] == ["unreadable"] * 3
            assert (green.file, green.kind, green.severity) == (str(tmp_path), "unknown", "error")
            assert green.detail == (
                f"colour {GREEN} is in 58.3% of the pixels of 3 masks (14 pixels, 3 masks). If the "
                "colours stand for classes, pass a table of them as `labels`, such as a file "
                "classes.csv with the columns name, r, g and b."
            )
            assert f"colour {RED} is in 33.3% of the pixels" in red.detail
            assert f"colour {BLACK} is in 8.3% of the pixels of 3 masks (2 pixels, 1 mask)" in (
                black.detail
            )
        # The remedy works.
        rows = [f"{name},{r},{g},{b}" for name, (r, g, b) in (("car", RED), ("road", GREEN))]
        table = "\n".join(["name,r,g,b", *rows, "void,0,0,0"])
        (tmp_path / "classes.csv").write_text(table)
        assert verify_folder(tmp_path) == []

    def test_a_photo_in_place_of_a_mask(self, tmp_path):
        rng = np.random.default_rng(0)
        write_masks(tmp_path, rng.integers(0, 256, (40, 40, 3), np.uint8))
        *files, dataset = verify_folder(tmp_path, class_names=("a", "b"))
        assert [problem.kind for problem in files] == ["unreadable"] * 3
        assert dataset.detail.startswith("more than 256 colours are in 3 masks. JPEG compression")

    def test_indices_where_colours_are_listed(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1))
        detail = verify_folder(tmp_path, labels=COLOURS)[0].detail
        assert detail.startswith("has colours (1, 1, 1), expected those in `labels`.")
        assert "If the masks hold class indices, pass `class_names` without a table" in detail
        write_masks(tmp_path, stripes(0, 1, dtype="uint16"))
        detail = verify_folder(tmp_path, labels=COLOURS)[0].detail
        assert "must hold colours of 8 bits, because `labels` lists colours" in detail

    def test_every_colour_has_its_own_number(self):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
        expected = pixels.astype(int) @ [1, 256, 65536]
        np.testing.assert_array_equal(pack_colours(pixels)[..., 0], expected)
        colours = {tuple(colour.tolist()): f"class {n % 9}" for n, colour in enumerate(pixels[0])}
        scheme = table_scheme(tuple(colours.items()), None, 255)
        encoded = scheme.encode(pack_colours(pixels))[..., 0]
        np.testing.assert_array_equal(encoded[0], np.arange(20) % 9)
        assert (encoded[1:] == -1).sum() > 370


class TestFiles:
    def read(self, path, text, class_names=None):
        path.write_text(text, encoding="utf-8")
        return read_label_file(path, class_names)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("class_dict.csv", "name,r,g,b\ncar,255,0,0\nroad,0,128,0\nVoid,0,0,0\n"),
            ("classes.csv", "\ufeffName;R;G;B\r\ncar;255;0;0\r\nroad;0;128;0\r\n;0;0;0\r\n\r\n"),
            ("classes.csv", "label,red,green,blue\ncar,255,0,0\nroad,0,128,0\nunlabeled,0,0,0\n"),
            (
                "labelmap.txt",
                "# label:color_rgb:parts:actions\ncar:255,0,0::\nroad:0,128,0::\nvoid:0,0,0::\n",
            ),
            ("classes.json", '{"car": [255, 0, 0], "road": [0, 128, 0], "void": [0, 0, 0]}'),
            ("classes.json", '{"255,0,0": "car", "0,128,0": "road", "0,0,0": null}'),
        ],
    )
    def test_colours(self, tmp_path, name, text):
        assert dict(self.read(tmp_path / name, text)) == COLOURS

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("classes.csv", "label,name\n0,road\n7,car\n11,\n"),
            ("classes.csv", "name,label,r,g\nroad,0,1,1\ncar,7,1,1\nvoid,11,1,1\n"),
            ("classes.csv", "name,id\nroad,0\ncar,7\nvoid,11\n"),
            ("classes.json", '{"0": "road", "7": "car", "11": null}'),
            ("classes.json", '{"road": 0, "car": 7, "ignore": 11}'),
        ],
    )
    def test_labels(self, tmp_path, name, text):
        assert dict(self.read(tmp_path / name, text)) == {0: "road", 7: "car", 11: None}

    @pytest.mark.parametrize(
        ("name", "text"),
        [("classes.csv", "name\nroad\ncar\n"), ("classes.json", '["road", "car"]')],
    )
    def test_names_in_the_order_of_the_labels(self, tmp_path, name, text):
        assert dict(self.read(tmp_path / name, text)) == {0: "road", 1: "car"}

    def test_void_is_a_class_where_it_is_named(self, tmp_path):
        text = "name,label\nroad,0\nVoid,1\n"
        assert dict(self.read(tmp_path / "a.csv", text, ("road", "Void")))[1] == "Void"

    @pytest.mark.parametrize(
        ("name", "text", "fault"),
        [
            ("a.csv", "", "it has no column of names, but nothing"),
            ("a.csv", "r,g,b\n1,2,3\n", "it has no column of names, but r, g, b"),
            (
                "a.csv",
                "name,r,g\ncar,1,2\nsky,3,4\n",
                "a.csv is no table of labels: column b is mis",
            ),
            ("a.csv", "Name;Green\ncar;1\nsky;3\n", "labels: column red and blue is missing"),
            ("a.csv", "name,r,g,b\ncar,1,2\n", "is no table of labels: 'b'"),
            ("a.csv", "name,r,g,b\ncar,1,2,x\n", "invalid literal"),
            ("a.csv", "label,name\n0,a\n0,b\n", "must list each label or colour once"),
            ("a.json", "{", "is no table of labels"),
            ("a.json", "3", "is no table of labels"),
            ("labelmap.txt", "car 1 2 3", "is no table of labels"),
            ("a.xml", "", "`labels` must be a CSV or JSON file"),
        ],
    )
    def test_bad_files(self, tmp_path, name, text, fault):
        with pytest.raises(ValueError, match=fault):
            self.read(tmp_path / name, text)
        with pytest.raises(FileNotFoundError, match="`labels` must be a CSV or JSON file"):
            read_label_file(tmp_path / "nothing.csv")

    def test_a_file_beside_the_data_is_read(self, tmp_path):
        write_masks(tmp_path, stripes(RED, GREEN, GREEN, RED))
        (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,0,128,0\ncar,255,0,0\n")
        assert load_folder(tmp_path).class_names == ("road", "car")
        assert the_mask(tmp_path) == [1, 0, 0, 1]
        assert the_mask(tmp_path, class_names=("car", "road"), labels=COLOURS) == [0, 1, 1, 0]
        source = DataSource(str(tmp_path))
        assert source.class_names == ("road", "car")
        assert source.problems() == []
        assert source.notes()[-1] == f"Classes: road, car, from {tmp_path / 'class_dict.csv'}"
        # Class names alone mean indices.
        details = [p.detail for p in verify_folder(tmp_path, class_names=("road", "car"))]
        assert "with the colours (255, 0, 0), (0, 128, 0)" in details[0]
        assert (
            f"Pass `labels={tmp_path / 'class_dict.csv'}`, or leave `class_names` out" in details[0]
        )

    def test_a_file_of_one_class_is_named(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1))
        (tmp_path / "classes.csv").write_text("label,name\n0,a\n1,\n")
        with pytest.raises(ValueError, match=r"classes.csv` must hold two or more different names"):
            load_folder(tmp_path)

    def test_two_files_are_refused(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1))
        for name in ("classes.csv", "classes.json"):
            (tmp_path / name).write_text("name\na\nb\n")
        with pytest.raises(ValueError, match=r"Received: classes.csv and classes.json. Pass one"):
            load_folder(tmp_path)
        assert load_folder(tmp_path, labels=tmp_path / "classes.csv").class_names == ("a", "b")

    def test_no_classes_at_all(self, tmp_path):
        write_masks(tmp_path, stripes(0, 1))
        with pytest.raises(ValueError, match=r"Received: None. Or pass `labels`, or put one of cl"):
            load_folder(tmp_path)


class TestSource:
    def test_labels_are_values(self):
        labels = {0: "road", 7: None, 8: "car"}
        source = DataSource("x", labels=labels, images="train", masks="trainannot", ignore_class=7)
        assert source.labels == ((0, "road"), (7, None), (8, "car"))
        again = DataSource("x", None, None, False, "train", "trainannot", 7, source.labels)
        assert source == again
        assert hash(source) == hash(again)
        record = json.loads(json.dumps(source.labels))
        assert DataSource("x", labels=record).labels == source.labels
        colours = json.loads(json.dumps(DataSource("x", labels=COLOURS).labels))
        assert dict(DataSource("x", labels=colours).labels) == COLOURS

    @pytest.mark.parametrize(
        "field", [{"labels": COLOURS}, {"images": "a"}, {"masks": "a"}, {"ignore_class": None}]
    )
    def test_not_for_pets(self, field):
        with pytest.raises(ValueError, match=f'`{next(iter(field))}` must be .* data "synthetic"'):
            DataSource("synthetic", **field)

    def test_binary_is_not_for_a_table(self, tmp_path):
        with pytest.raises(ValueError, match="`binary` must be False with `labels`"):
            DataSource("x", labels=COLOURS, binary=True)
        write_masks(tmp_path, stripes(0, 1))
        (tmp_path / "classes.csv").write_text("name\na\nb\n")
        with pytest.raises(ValueError, match="`binary` must be False for masks of your own"):
            load_folder(tmp_path, binary=True)


def test_encode_is_a_table_look_up():
    scheme = index_scheme(("a", "b", "c"), 9)
    labels = np.array([0, 1, 2, 3, 9, 255])
    for dtype in (np.uint8, np.uint16, np.int32, np.int64):
        np.testing.assert_array_equal(scheme.encode(labels.astype(dtype)), [0, 1, 2, -1, 9, -1])
    np.testing.assert_array_equal(scheme.encode(np.array([True, False])), [1, 0])
