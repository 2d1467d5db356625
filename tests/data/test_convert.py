"""COCO, YOLO and LabelMe to folders of masks, in real files."""

import base64
import io
import json
import math
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from ruamel.yaml import YAML

import petseg
from petseg.data import convert_labels, verify_folder
from petseg.data.outlines import polygon

SIZE = (40, 60)  # height, width
SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
INNER = [[15, 15], [25, 15], [25, 25], [15, 25]]

# Outlines as people draw them: convex, concave, thin, a star, one that leaves the image.
HAND_DRAWN = [
    [[5.2, 3.7], [50.1, 8.3], [44.9, 33.3], [12.4, 30.6]],
    [[5, 5], [55, 6], [54, 12], [14, 13.5], [13, 34], [6, 35]],
    [[3.3, 20.1], [57.2, 18.4], [57.0, 20.9], [3.1, 22.8]],
    [
        [30, 2],
        [34, 15],
        [48, 15],
        [37, 22],
        [41, 36],
        [30, 27],
        [19, 36],
        [23, 22],
        [12, 15],
        [26, 15],
    ],
    [[-5, 10], [20, -4], [70, 20], [30, 50]],
]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def flat(points):
    return [value for point in points for value in point]


def write_photo(path, size=SIZE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 7, np.uint8)).save(path, **options)


def read_mask(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def dilated(pixels):
    padded = np.pad(pixels, 1)
    height, width = pixels.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.any(shifted, axis=0)


def expected_mask(*objects):
    """The mask of squares with corners at whole pixels: (first, last + 1, label)."""
    mask = np.zeros(SIZE, np.uint8)
    for first, end, label in objects:
        mask[first:end, first:end] = label
    return mask


def near(mask, expected):
    """Each label is within a pixel of where it should be."""
    assert mask.shape == expected.shape
    for label in np.unique([mask, expected]):
        one, other = mask == label, expected == label
        assert not np.any(one & ~dilated(other))
        assert not np.any(other & ~dilated(one))
    return True


@pytest.mark.parametrize("points", HAND_DRAWN)
def test_polygons_are_within_a_pixel_of_those_of_coco(points):
    shape = polygon("a", np.array(points, float))
    drawn = shape.draw(SIZE)
    (rle,) = coco.frPyObjects([flat(points)], *SIZE)
    reference = coco.decode(rle).astype(bool)
    assert not np.any(drawn & ~dilated(reference))
    assert not np.any(reference & ~dilated(drawn))
    # Nothing is drawn wider or thinner all around.
    assert drawn.sum() == pytest.approx(reference.sum(), rel=0.1)
    if np.min(points) >= 0:
        assert shape.area == pytest.approx(drawn.sum(), rel=0.05)


class TestCoco:
    def record(self, names, annotations=None, prefix=""):
        if annotations is None:
            annotations = [
                {"category_id": 7, "segmentation": [flat(INNER)]},
                {"category_id": 3, "segmentation": [flat(SQUARE)]},
            ]
        images = [
            {"id": number, "file_name": f"{prefix}{name}", "height": SIZE[0], "width": SIZE[1]}
            for number, name in enumerate(names)
        ]
        annotations = [
            {"id": 10 * image["id"] + number, "image_id": image["id"], "iscrowd": 0, **each}
            for image in images
            for number, each in enumerate(annotations)
        ]
        categories = [
            {"id": 7, "name": "cat"},
            {"id": 3, "name": "sofa"},
            {"id": 1, "name": "nowhere"},
        ]
        return {"images": images, "annotations": annotations, "categories": categories}

    def write(self, root, annotations=None, count=40):
        names = [f"{number}.png" for number in range(count)]
        for name in names:
            write_photo(root / "photos" / name)
        path = root / "instances.json"
        path.write_text(json.dumps(self.record(names, annotations)))
        return path

    def test_polygons(self, tmp_path):
        """The small one is on top, though it is listed first."""
        path = self.write(tmp_path)
        out = convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        assert names_in(out) == ["classes.csv", "images", "masks"]
        text = (out / "classes.csv").read_text()
        assert text.splitlines() == ["label,name", "0,background", "1,sofa", "2,cat"]
        expected = expected_mask((10, 30, 1), (15, 25, 2))
        assert near(read_mask(out / "masks" / "0.png"), expected)
        assert verify_folder(out) == []
        splits = petseg.load_folder(out, image_size=(32, 32))
        assert splits.class_names == ("background", "sofa", "cat")
        # The images are links.
        assert (out / "images" / "0.png").samefile(tmp_path / "photos" / "0.png")
        assert not list(tmp_path.glob(".part-*"))

    def test_run_lengths(self, tmp_path):
        pixels = np.zeros(SIZE, np.uint8, order="F")
        pixels[3:9, 4:20] = 1
        compressed = coco.encode(pixels)
        compressed["counts"] = compressed["counts"].decode()
        column = pixels.ravel(order="F")
        ends = np.flatnonzero(np.diff(column)) + 1
        counts = np.diff([0, *ends, column.size]).tolist()
        for index, outline in enumerate([compressed, {"size": list(SIZE), "counts": counts}]):
            root = tmp_path / str(index)
            path = self.write(root, [{"category_id": 3, "segmentation": outline, "iscrowd": 1}])
            out = convert_labels(path, root / "out", images=root / "photos")
            np.testing.assert_array_equal(read_mask(out / "masks" / "1.png"), pixels)

    @pytest.mark.parametrize(
        "outline",
        [
            "outline",
            {"size": [4, 4], "counts": [3, 13]},
            {"size": [4, 4], "counts": "04"},
            {"counts": [3, 13]},
        ],
    )
    def test_bad_outlines(self, tmp_path, outline):
        path = self.write(tmp_path, [{"category_id": 3, "segmentation": outline}], count=1)
        expected = r"instances.json is no valid COCO file: annotation 0 has no valid outline"
        with pytest.raises(ValueError, match=expected):
            convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("polygon", "received"),
        [
            ([1, 2], "[1, 2], 2 values"),
            ([1, 2, 30, 2], "[1, 2, 30, 2], 4 values"),  # a box for pycocotools
            ([1, 2, 30, 2, 30, 30, 5], "[1, 2, 30, 2, 30, 30, 5], 7 values"),
            (3, "3"),
            ("polygon", "polygon"),
        ],
    )
    def test_bad_polygons(self, tmp_path, polygon, received):
        annotation = {"category_id": 3, "segmentation": [flat(SQUARE), polygon]}
        path = self.write(tmp_path, [annotation], count=2)
        with pytest.raises(ValueError, match="three or more corners, an even number") as caught:
            convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        assert f"{path} is no valid COCO file: a polygon of annotation 0 must" in str(caught.value)
        assert str(caught.value).endswith(f"Received: {received}.")

    @pytest.mark.parametrize(
        ("wrong", "fault"),
        [
            ({"image_id": 1234}, "image 1234 of annotation 10 is not in images."),
            ({"image_id": "1"}, "image '1' of annotation 10 is not in images."),
            ({"category_id": 55}, "category 55 of annotation 10 is not in categories."),
            ({"category_id": None}, "annotation 10 has no category_id."),
            ({"image_id": None}, "annotation 10 has no image_id."),
        ],
    )
    def test_annotations_of_nothing(self, tmp_path, wrong, fault):
        path = self.write(tmp_path, count=2)
        record = json.loads(path.read_text())
        annotation = next(each for each in record["annotations"] if each["id"] == 10)
        annotation.update(wrong)
        if None in wrong.values():
            del annotation[next(iter(wrong))]
        path.write_text(json.dumps(record))
        with pytest.raises(ValueError, match=re.escape(f"is no valid COCO file: {fault}")):
            convert_labels(path, tmp_path / "out", images=tmp_path / "photos")

    @pytest.mark.parametrize("layout", ["coco", "roboflow"])
    def test_splits(self, tmp_path, layout):
        root = tmp_path / "source"
        for number, split in enumerate(("train", "valid", "test")):
            name = f"{number}.png"
            if layout == "coco":
                path, folder = (
                    root / "annotations" / f"instances_{split}2017.json",
                    root / f"{split}2017",
                )
            else:
                path, folder = root / split / "_annotations.coco.json", root / split
            write_photo(folder / "a" / name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(self.record([name], prefix="a/")))
        out = convert_labels(root, tmp_path / "out")
        assert names_in(out) == ["classes.csv", "test", "train", "val"]
        assert names_in(out / "val" / "images") == ["a_1.png"]
        assert verify_folder(out) == []

    def test_boxes_are_left_out(self, tmp_path):
        annotations = [
            {"category_id": 3, "segmentation": [flat(SQUARE)]},
            {"category_id": 7, "segmentation": [], "bbox": [1, 1, 5, 5]},
        ]
        path = self.write(tmp_path, annotations, count=2)
        with pytest.warns(UserWarning, match="^2 annotations of .* are left out: they are boxes"):
            out = convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        assert set(np.unique(read_mask(out / "masks" / "0.png"))) == {0, 1}

    def test_orientation(self, tmp_path):
        """The annotation is of the image as it is stored, lying on its side."""
        path = self.write(tmp_path, count=1)
        exif = Image.Exif()
        exif[0x0112] = 6
        write_photo(tmp_path / "photos" / "0.png", exif=exif)
        out = convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        kinds = {problem.kind for problem in verify_folder(out)}
        assert "misaligned" not in kinds
        with Image.open(out / "masks" / "0.png") as mask:
            assert mask.getexif()[0x0112] == 6


class TestYolo:
    def write(self, root, **settings):
        for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
            write_photo(root / "images" / split / f"{name}.png")
            outlines = [(1, SQUARE), (0, INNER)]
            lines = [
                f"{label} " + " ".join(f"{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}" for x, y in points)
                for label, points in outlines
            ]
            file = root / "labels" / split / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(lines) + "\n")
        (root / "labels" / "train" / "b.txt").unlink()  # an image without objects
        record = {
            "path": "/somewhere/else",
            "train": "images/train",
            "val": "images/val",
            "test": "../images/test",
            "names": {0: "cat", 1: "sofa"},
            **settings,
        }
        YAML().dump(record, root / "data.yaml")
        return root

    @pytest.mark.parametrize("names", [["cat", "sofa"], {0: "cat", 1: "sofa"}])
    @pytest.mark.parametrize("source", [".", "data.yaml"])
    def test_polygons(self, tmp_path, names, source):
        root = self.write(tmp_path / "yolo", names=names)
        out = convert_labels(root / source, tmp_path / "out")
        expected = expected_mask((10, 30, 2), (15, 25, 1))
        for split, name in (("train", "a"), ("val", "c"), ("test", "d")):
            assert near(read_mask(out / split / "masks" / f"{name}.png"), expected)
        assert not read_mask(out / "train" / "masks" / "b.png").any()
        assert verify_folder(out) == []
        assert petseg.load_folder(out).class_names == ("background", "cat", "sofa")

    def test_boxes_are_left_out(self, tmp_path):
        root = self.write(tmp_path / "yolo")
        (root / "labels" / "val" / "c.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        with pytest.warns(UserWarning, match="^1 annotations of"):
            out = convert_labels(root, tmp_path / "out")
        assert not read_mask(out / "val" / "masks" / "c.png").any()

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("x 0 0 1 1 0 1", "must begin with the number of a class. Received: 'x'"),
            ("0 0 0 1 1 0 y", "must hold numbers. Received: '0 0 0 1 1 0 y'"),
            ("9 0 0 1 1 0 1", "has class 9, which is not in names of {root}/data.yaml. Expected: "),
            ("0 10 10 20 10 20 20", "must give x and y as fractions of the width and the height "),
            ("0 .1 .1 .2 -0.02 .2 .2", "of the image, 0 to 1. Received: -0.02. Divide pixels by"),
            ("0 .1 .1 .2 nan .2 .2", "Received: nan"),
            ("0 .1 .1 .2 .1 .2 .2 .3", "after the class: an even number of values, at least six."),
            ("0 .1 .1 .2 .1 .2", "Received: 5 values"),
            ("0 .1 .1", "Received: 2 values"),
        ],
    )
    def test_bad_lines(self, tmp_path, line, fault):
        root = self.write(tmp_path / "yolo")
        file = root / "labels" / "val" / "c.txt"
        file.write_text(f"0 0 0 1 1 0 1\n\n{line}\n")
        with pytest.raises(ValueError, match=re.escape(f"{file}, line 3,")) as caught:
            convert_labels(root, tmp_path / "out")
        assert fault.format(root=root) in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_a_little_over_the_edge_is_clipped(self, tmp_path):
        root = self.write(tmp_path / "yolo")
        file = root / "labels" / "val" / "c.txt"
        file.write_text("0 -0.008 -0.008 1.008 -0.008 1.008 1.008 -0.008 1.008\n")
        out = convert_labels(root, tmp_path / "out")
        assert (read_mask(out / "val" / "masks" / "c.png") == 1).all()

    def test_labels_in_another_encoding(self, tmp_path):
        root = self.write(tmp_path / "yolo")
        file = root / "labels" / "val" / "c.txt"
        file.write_text("0 0 0 1 1 0 1\n", encoding="utf-8-sig")
        convert_labels(root, tmp_path / "out")
        file.write_text("0 0 0 1 1 0 1\n", encoding="utf-16")
        with pytest.raises(ValueError, match=r"c\.txt must be a text file in UTF-8"):
            convert_labels(root, tmp_path / "other")

    def test_keypoints_are_refused(self, tmp_path):
        root = self.write(tmp_path / "yolo", kpt_shape=[17, 3])
        with pytest.raises(ValueError, match=r"data\.yaml must describe outlines.*kpt_shape"):
            convert_labels(root, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_split_without_labels(self, tmp_path):
        root = self.write(tmp_path / "yolo")
        shutil.rmtree(root / "labels" / "test")
        with pytest.raises(
            FileNotFoundError, match="No image of test has a file of labels"
        ) as error:
            convert_labels(root, tmp_path / "out")
        assert str(root / "labels" / "test" / "d.txt") in str(error.value)
        assert not (tmp_path / "out").exists()
        # The remedy works.
        root = self.write(tmp_path / "yolo", test=None)
        assert names_in(convert_labels(root, tmp_path / "out")) == ["classes.csv", "train", "val"]

    @pytest.mark.parametrize(
        "train",
        ["train.txt", ["images/train"], ["images/train", "images/train"], ["lists/train.txt"]],
    )
    @pytest.mark.parametrize("path", ["/somewhere/else", "."])
    @pytest.mark.parametrize("prefix", ["./images/train", "images/train", "/content/images/train"])
    def test_lists(self, tmp_path, train, path, prefix):
        root = self.write(tmp_path / "yolo", train=train, path=path)
        (root / "lists").mkdir()
        for file in (root / "train.txt", root / "lists" / "train.txt"):
            file.write_text(f"{prefix}/b.png\n{prefix}/a.png\n{prefix}/a.png\n")
        out = convert_labels(root, tmp_path / "out")
        expected = expected_mask((10, 30, 2), (15, 25, 1))
        assert near(read_mask(out / "train" / "masks" / "a.png"), expected)
        assert not read_mask(out / "train" / "masks" / "b.png").any()
        assert names_in(out / "train" / "images") == ["a.png", "b.png"]

    def test_a_list_that_is_wrong(self, tmp_path):
        root = self.write(tmp_path / "yolo", train="train.txt")
        with pytest.raises(
            FileNotFoundError, match=r"train.txt is missing, which .*data.yaml gives"
        ):
            convert_labels(root, tmp_path / "out")
        (root / "train.txt").write_text("images/train/a.png\nimages/train/gone.png\n")
        with pytest.raises(
            FileNotFoundError, match=r"gone.png, which .*train.txt, line 2, lists, is"
        ):
            convert_labels(root, tmp_path / "out")
        (root / "train.txt").write_text("\n")
        with pytest.raises(ValueError, match=r"train.txt must list images, one in each line"):
            convert_labels(root, tmp_path / "out")
        root = self.write(tmp_path / "yolo", train={"a": 1})
        with pytest.raises(ValueError, match=r"must give a folder, a text file that lists images"):
            convert_labels(root, tmp_path / "out")


class TestLabelMe:
    def write(self, folder, name, shapes, **record):
        write_photo(folder / f"{name}.png")
        shapes = [{"shape_type": "polygon", "label": "cat", **shape} for shape in shapes]
        record = {
            "shapes": shapes,
            "imagePath": f"{name}.png",
            "imageHeight": SIZE[0],
            "imageWidth": SIZE[1],
            **record,
        }
        (folder / f"{name}.json").write_text(json.dumps(record))

    def test_shapes(self, tmp_path):
        inside = Image.fromarray(np.full((4, 6), 255, np.uint8))
        buffer = io.BytesIO()
        inside.save(buffer, "PNG")
        root = tmp_path / "labelme"
        self.write(root, "a", [{"points": INNER}, {"points": SQUARE, "label": "sofa"}])
        self.write(root, "b", [{"points": [[10, 10], [30, 30]], "shape_type": "rectangle"}])
        self.write(root, "c", [{"points": [[20, 20], [30, 20]], "shape_type": "circle"}])
        mask = base64.b64encode(buffer.getvalue()).decode()
        points = [[8, 5], [13, 8]]
        self.write(root, "d", [{"points": points, "shape_type": "mask", "mask": mask}])
        self.write(root, "e", [{"points": SQUARE, "label": "__ignore__"}])
        self.write(root, "f", [{"points": SQUARE}, {"points": INNER, "label": "_background_"}])
        out = convert_labels(root, tmp_path / "out")
        lines = (out / "classes.csv").read_text().splitlines()
        assert lines == ["label,name", "0,background", "1,cat", "2,sofa"]
        masks = {path.stem: read_mask(path) for path in (out / "masks").iterdir()}
        assert near(masks["a"], expected_mask((10, 30, 2), (15, 25, 1)))
        assert near(masks["b"], expected_mask((10, 30, 1)))
        y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        circle = ((x - 20) ** 2 + (y - 20) ** 2 < 100).astype(np.uint8)
        assert near(masks["c"], circle)
        box = np.zeros(SIZE, np.uint8)
        box[5:9, 8:14] = 1
        np.testing.assert_array_equal(masks["d"], box)
        assert near(masks["e"], expected_mask((10, 30, 255)))
        assert near(masks["f"], expected_mask((10, 30, 1), (15, 25, 0)))

    def test_a_mask_that_leaves_the_image(self, tmp_path):
        buffer = io.BytesIO()
        Image.fromarray(np.full((10, 10), 255, np.uint8)).save(buffer, "PNG")
        mask = base64.b64encode(buffer.getvalue()).decode()
        shapes = [
            {"points": [[left, top]], "shape_type": "mask", "mask": mask}
            for left, top in ((-4, -5), (SIZE[1] - 3, SIZE[0] - 2), (90, 90))
        ]
        self.write(tmp_path / "labelme", "a", shapes)
        out = convert_labels(tmp_path / "labelme", tmp_path / "out")
        expected = np.zeros(SIZE, np.uint8)
        expected[:5, :6] = expected[-2:, -3:] = 1
        np.testing.assert_array_equal(read_mask(out / "masks" / "a.png"), expected)

    @pytest.mark.parametrize(
        "shape",
        [
            {"points": [[1, 2], [3, 4], [math.nan, 5]]},
            {"points": [[1, 2, 3], [3, 4, 5]]},
            {"points": None},
            {"points": [], "shape_type": "mask", "mask": "AAAA"},
            {"points": [[1, 1]], "shape_type": "mask", "mask": "no picture"},
        ],
    )
    def test_bad_shapes(self, tmp_path, shape):
        self.write(tmp_path / "labelme", "a", [{"points": SQUARE}, shape])
        with pytest.raises(ValueError, match=r"a.json is no file of LabelMe"):
            convert_labels(tmp_path / "labelme", tmp_path / "out")

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            ("label", 'shape 1 has no "label".'),
            ("points", 'shape 1 has no "points".'),
            ("imagePath", "'imagePath' is missing."),
        ],
    )
    def test_a_key_that_is_missing(self, tmp_path, key, fault):
        self.write(tmp_path / "labelme", "a", [{"points": SQUARE}, {"points": INNER}])
        path = tmp_path / "labelme" / "a.json"
        record = json.loads(path.read_text())
        for each in (record, record["shapes"][1]):
            each.pop(key, None)
        path.write_text(json.dumps(record))
        with pytest.raises(ValueError, match=re.escape(f"{path} is no file of LabelMe: {fault}")):
            convert_labels(tmp_path / "labelme", tmp_path / "out")

    def test_splits(self, tmp_path):
        for split in ("train", "val", "test"):
            self.write(tmp_path / "labelme" / split, f"{split} 1", [{"points": SQUARE}])
        out = convert_labels(tmp_path / "labelme", tmp_path / "out")
        assert names_in(out) == ["classes.csv", "test", "train", "val"]
        assert verify_folder(out) == []
        # The name of the only folder says nothing.
        out = convert_labels(tmp_path / "labelme" / "test", tmp_path / "one")
        assert names_in(out) == ["classes.csv", "images", "masks"]

    def test_points_are_left_out(self, tmp_path):
        shapes = [{"points": SQUARE}, {"points": [[1, 1]], "shape_type": "point"}]
        self.write(tmp_path / "labelme", "a", shapes)
        with pytest.warns(UserWarning, match="^1 annotations of"):
            convert_labels(tmp_path / "labelme", tmp_path / "out")

    def test_another_size_than_stated(self, tmp_path):
        self.write(tmp_path / "labelme", "a", [{"points": SQUARE}], imageHeight=50)
        with pytest.raises(
            ValueError, match=r"a.png must have the size of its annotation, 50 x 60"
        ):
            convert_labels(tmp_path / "labelme", tmp_path / "out")
        assert names_in(tmp_path) == ["labelme"]


class TestRefusals:
    def test_an_existing_folder(self, tmp_path):
        TestLabelMe().write(tmp_path / "labelme", "a", [{"points": SQUARE}])
        out = tmp_path / "out"
        out.mkdir()
        (out / "mine.txt").write_text("keep")
        with pytest.raises(FileExistsError, match="`out` must be a new or an empty folder"):
            convert_labels(tmp_path / "labelme", out)
        assert names_in(out) == ["mine.txt"]
        (out / "mine.txt").unlink()
        convert_labels(tmp_path / "labelme", out)
        assert names_in(out) == ["classes.csv", "images", "masks"]

    def test_sources(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`source` must be a COCO JSON file"):
            convert_labels(tmp_path / "nothing.json", tmp_path / "out")
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(ValueError, match=r"bad.json is no JSON file"):
            convert_labels(tmp_path / "bad.json", tmp_path / "out")
        (tmp_path / "bad.json").write_text("[]")
        with pytest.raises(ValueError, match="holds none of these"):
            convert_labels(tmp_path, tmp_path / "out")

    def test_a_missing_image(self, tmp_path):
        path = TestCoco().write(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"0.png, .* Pass its folder as `images`"):
            convert_labels(path, tmp_path / "out")
        (tmp_path / "photos" / "3.png").unlink()
        with pytest.raises(
            FileNotFoundError, match=r"3.png, which .*instances.json lists, is miss"
        ):
            convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        (tmp_path / "photos" / "3.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"3.png cannot be read as an image"):
            convert_labels(path, tmp_path / "out", images=tmp_path / "photos")
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".part-*"))

    def test_names_that_would_collide(self, tmp_path):
        root = tmp_path / "labelme"
        TestLabelMe().write(root / "one", "a", [{"points": SQUARE}])
        TestLabelMe().write(root / "two", "a", [{"points": SQUARE}])
        with pytest.raises(ValueError, match="must have different names without the suffix"):
            convert_labels(root, tmp_path / "out")
