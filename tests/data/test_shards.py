"""Shards of examples: tar files as WebDataset has them, and TFRecord files."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import petseg
from benchmarks.speed import memory_of_data
from petseg.data import PET_CLASSES, DataSource, draw_pet, load_folder, write_shards
from petseg.data.epochs import batches_from_epoch, seeded_epochs
from petseg.data.shard_files import find_shards

BATCHING = {"image_size": (20, 33), "batch_size": 4, "seed": 2}
FORMATS = ("tar", "tfrecord")


@pytest.fixture
def many_pets(own_folder):
    """22 training images, of which number i has the colour 10 i, with masks of their own."""
    _, mask = draw_pet(5)
    for number in range(22):
        image = Image.new("RGB", (40, 30), (10 * number,) * 3)
        image.save(own_folder / "train" / "images" / f"{number}.png")
        part = Image.fromarray(mask[number : number + 30, :40, 0])
        part.save(own_folder / "train" / "masks" / f"{number}.png")
    return own_folder


@pytest.fixture(params=FORMATS)
def shards(request, many_pets, tmp_path):
    write_shards(
        many_pets, tmp_path / "shards", format=request.param, size=5, class_names=PET_CLASSES
    )
    return tmp_path / "shards"


def encoded(array, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


IMAGE, MASK = encoded(np.full((8, 9, 3), 100, np.uint8)), encoded(np.eye(8, 9, dtype=np.uint8))
JPEG = encoded(np.full((8, 9, 3), 100, np.uint8), "JPEG")


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_records(path, *records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in record.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def load(root, **arguments):
    arguments = {"class_names": ("grass", "line"), "image_size": (8, 9), "augment": False} | (
        arguments
    )
    return petseg.load_shards(root, **arguments)


def numbers(batches):
    return [round(float(image[0, 0, 0]) / 10) for images, _ in batches for image in images.numpy()]


def assert_same(batches, expected):
    for batch, same in zip(batches, expected, strict=True):
        for array, other in zip(batch, same, strict=True):
            np.testing.assert_array_equal(array, other)


def test_shards_hold_what_the_folder_holds(shards, many_pets):
    names = sorted(path.name for path in shards.iterdir())
    suffix = names[2].rpartition(".")[2]
    assert names == [
        "classes.csv",
        "shards.json",
        f"test-000000.{suffix}",
        *(f"train-00000{number}.{suffix}" for number in range(5)),
        f"val-000000.{suffix}",
    ]
    found = petseg.load_shards(shards, **BATCHING, augment=False)
    folder = load_folder(many_pets, class_names=PET_CLASSES, **BATCHING, augment=False)
    for name in ("class_names", "ignore_class", "image_size"):
        assert getattr(found, name) == getattr(folder, name)
    assert len(found.train) == len(folder.train) == 6
    assert_same(found.val, folder.val)
    assert_same(found.test, folder.test)
    of_image = {
        numbers([(images[i : i + 1], masks[i : i + 1])])[0]: masks[i].numpy()
        for images, masks in folder.train
        for i in range(len(images))
    }
    seen = []
    for images, masks in found.train:
        for image, mask in zip(images, masks, strict=True):
            number = numbers([(image[None], mask)])[0]
            np.testing.assert_array_equal(mask, of_image[number])
            seen.append(number)
    assert sorted(seen) == list(range(22))


def test_epochs_have_other_orders_and_resume(shards):
    arguments = {**BATCHING, "augment": False, "shuffle_buffer": 6}
    train = petseg.load_shards(shards, **arguments).train
    seen = numbers(batches_from_epoch(train, 0).take(18))
    epochs = [seen[:22], seen[22:44], seen[44:]]
    assert all(sorted(order) == list(range(22)) for order in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    again = petseg.load_shards(shards, **arguments).train
    assert numbers(batches_from_epoch(again, 2).take(6)) == epochs[2]
    other = petseg.load_shards(shards, **{**arguments, "seed": 3}).train
    assert numbers(batches_from_epoch(other, 0).take(6)) != epochs[0]
    assert seeded_epochs(train).description["shuffle_buffer"] == 6


def test_parts_of_batches_come_from_shards_of_their_own(shards):
    train = petseg.load_shards(shards, **BATCHING, augment=False).train
    parts = [list(batches_from_epoch(train, 0, part, 2).take(12)) for part in range(2)]
    assert {len(images) for part in parts for images, _ in part} == {2}
    first, second = map(numbers, parts)
    assert sorted(first[:12]) == sorted(first[12:])  # shards of 5, 5 and 2 images
    assert first[:12] != first[12:]
    assert len(set(second)) == 10
    assert {*first, *second} == set(range(22))
    with pytest.raises(ValueError, match=r"6 processes needs at least 6 .* Received: 5\."):
        batches_from_epoch(train, 0, 0, 6)


def test_parts_of_batches_are_augmented_differently(tmp_path):
    for split in ("train", "val", "test"):
        for number in range(2):
            write_tar(tmp_path / f"{split}-{number}.tar", {"a.png": IMAGE, "a.mask.png": MASK})
    train = load(tmp_path, batch_size=2, augment="light").train
    first, second = (
        next(batches_from_epoch(train, 0, part, 2).as_numpy_iterator()) for part in range(2)
    )
    assert first[0].shape == second[0].shape == (1, 8, 9, 3)
    assert not np.array_equal(first[0], second[0])


def test_without_a_cache_images_do_not_stay_in_memory(tmp_path):
    """In memory, 1,000 images and masks of 128 x 128 pixels take 62 MiB."""
    memory_of_data.write(tmp_path, 1000, different=10)
    program = (
        "import json, sys\n"
        "from benchmarks.speed.memory_of_data import read\n"
        "how = {'image_size': (128, 128), 'batch_size': 4, 'augment': False}\n"
        "print(json.dumps([read(sys.argv[1], cache=each, **how) for each in (False, 'memory')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    without, kept = json.loads(done.stdout)
    assert without["images"] == kept["images"] == 1000
    assert without["mib_above"] < 40
    assert kept["mib_above"] > 50


def test_a_cache_shuffles_all_at_once(shards, tmp_path):
    arguments = {**BATCHING, "augment": False}
    kept = petseg.load_shards(shards, **arguments, cache="memory").train
    filed = petseg.load_shards(shards, **arguments, cache=tmp_path / "cache").train
    for path in shards.glob("*0.t*"):
        path.unlink()  # Read already.
    assert_same(batches_from_epoch(filed, 1).take(3), batches_from_epoch(filed, 0).skip(6).take(3))
    assert "shuffle_buffer" not in seeded_epochs(kept).description
    assert len(filed) == 6


def test_tars_of_webdataset(tmp_path):
    for split in ("train", "val", "test"):
        write_tar(
            tmp_path / f"{split}-000000.tar",
            {
                "a/one.jpg": JPEG,
                "a/one.png": MASK,
                "a/one.json": b"{}",
                "readme.txt": b"of no example",
                "two.mask.png": MASK,
                "two.PNG": IMAGE,
                "a.b/one.jpeg": JPEG,
                "a.b/one.cls": b"3",
                "a.b/one.png": MASK,
            },
        )
    splits = load(tmp_path)
    assert splits.class_names == ("grass", "line")
    for dataset in (splits.train, splits.val):
        images, masks = next(iter(dataset))
        assert images.shape == (3, 8, 9, 3)
        np.testing.assert_allclose(images, 100, atol=2)
        np.testing.assert_array_equal(masks[..., 0], [np.eye(8, 9)] * 3)


def test_records_of_others(tmp_path):
    record = {"image": JPEG, "mask": MASK, "label": b"4"}
    for split, names in (
        ("training", ("training.tfrecord-00000-of-00002", "training.tfrecord-00001-of-00002")),
        ("validation", ("validation-0.tfrecords",)),
        ("test", ("test.tfrecord",)),
    ):
        for name in names:
            write_records(tmp_path / name, *[record] * (3 if split == "test" else 2))
    splits = load(tmp_path, batch_size=3)
    assert [len(images) for images, _ in splits.train] == [3, 1]
    assert [len(images) for images, _ in splits.test] == [3]


def test_labels_and_channels_are_those_of_folders(tmp_path):
    array, file = np.full((8, 9, 4), 7, np.uint8), io.BytesIO()
    np.save(file, array)
    array[:] = 0  # Zeros at the end of a file stay.
    zeros = io.BytesIO()
    np.save(zeros, array)
    for split in ("train", "val", "test"):
        members = {"a.npy": file.getvalue(), "a.png": MASK, "b.npy": zeros.getvalue()}
        write_tar(tmp_path / f"{split}-0.tar", {**members, "b.png": MASK})
    labels = {0: "sky", 1: None, 2: "sea"}
    splits = load(tmp_path, class_names=None, labels=labels, channels=4, batch_size=1)
    assert (splits.class_names, splits.ignore_class) == (("sky", "sea"), 255)
    (images, masks), (others, _) = list(splits.val)
    assert images.shape == (1, 8, 9, 4)
    assert (images.numpy() == 7).all()
    assert (others.numpy() == 0).all()
    assert set(np.unique(masks)) == {0, 255}


@pytest.mark.parametrize("kind", ["colours", "trimaps", "two labels"])
def test_the_table_keeps_what_labels_mean(kind, own_folder, official_folder, tmp_path):
    arguments = {"class_names": PET_CLASSES}
    root = own_folder
    if kind == "trimaps":
        root, arguments = official_folder, {}
    if kind == "two labels":
        arguments = {"labels": {1: "rest", 0: "pet", 2: None}}
    if kind == "colours":
        for path in own_folder.rglob("masks/*.png"):
            with Image.open(path) as mask:
                colours = np.array([(1, 2, 3), (9, 0, 0), (0, 0, 0)], np.uint8)[np.asarray(mask)]
            Image.fromarray(colours).save(path)
        arguments = {"labels": {(9, 0, 0): "rest", (1, 2, 3): "pet", (0, 0, 0): None}}
    write_shards(root, tmp_path / "shards", **arguments)
    folder = load_folder(root, **arguments, **BATCHING, augment=False)
    found = petseg.load_shards(tmp_path / "shards", **BATCHING, augment=False)
    assert found.class_names == folder.class_names
    assert_same(found.test, folder.test)


def test_a_name_with_dots_stays_one_example(own_folder, tmp_path):
    for kind in ("images", "masks"):
        folder = own_folder / "val" / kind
        (folder / "0.png").rename(folder / "a.b.png")
        (folder / "1.png").rename(folder / "a.c.png")
    write_shards(own_folder, tmp_path / "new", class_names=PET_CLASSES)
    assert [len(images) for images, _ in load(tmp_path / "new", class_names=None).val] == [2]


def three_tars(folder, members):
    for split in ("val", "test"):
        write_tar(folder / f"{split}-0.tar", {"a.jpg": JPEG, "a.png": MASK})
    write_tar(folder / "train-0.tar", members)


GOOD = {"a.jpg": JPEG, "a.png": MASK, "b.jpg": JPEG, "b.png": MASK}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({**GOOD, "c.jpg": JPEG}, r"train-0.tar must hold an image and a mask.*Received: c.jpg\."),
        ({"a.jpg": JPEG, "b.jpg": JPEG, "a.png": MASK}, r"Received: a.jpg\."),
        ({"a.png": MASK, "a.webp": JPEG, "a.bmp": JPEG}, r"Received: a.png, a.webp, a.bmp\."),
        ({"a.cls": b"3"}, "train-0.tar must hold examples. Received: an empty shard"),
    ],
)
def test_a_tar_without_pairs_is_named(tmp_path, members, message):
    three_tars(tmp_path, members)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("cut", ["in a header", "in a member", "before the end", "in the middle"])
def test_a_damaged_tar_is_named(tmp_path, cut):
    three_tars(tmp_path, GOOD)
    path = tmp_path / "train-0.tar"
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    at = {
        "in a header": last.offset + 100,
        "in a member": last.offset_data + 20,
        "before the end": last.offset,
        "in the middle": None,
    }[cut]
    if at is None:
        content[last.offset : last.offset + 512] = b"x" * 512
    path.write_bytes(content[:at])
    with pytest.raises(ValueError, match=r"train-0.tar is no tar file, or is damaged or cut off"):
        load(tmp_path)


@pytest.mark.parametrize("damage", [None, "cut", "flip"])
def test_damaged_records_are_named(tmp_path, damage):
    good = {"image": JPEG, "mask": MASK}
    for split in ("val", "test"):
        write_records(tmp_path / f"{split}-0.tfrecord", good)
    path = tmp_path / "train-0.tfrecord"
    if damage is None:
        write_records(path, good, {"img": JPEG, "mask": MASK})
        splits = load(tmp_path)
        with pytest.raises(tf.errors.OpError, match=r"record 1 must have.*Received: img, mask\."):
            list(splits.train)
        path.write_bytes(b"")
        with pytest.raises(ValueError, match=r"train-0.tfrecord must hold examples"):
            load(tmp_path)
        return
    write_records(path, good, good)
    content = bytearray(path.read_bytes())
    content[-60] ^= 1
    path.write_bytes(content if damage == "flip" else content[:-60])
    with pytest.raises(ValueError, match=r"train-0.tfrecord is no TFRecord file, or is damaged"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.jpg", JPEG[:-30], r"train-0.tar: b.jpg cannot be read as an image"),
        ("b.jpg", b"text", r"train-0.tar: b.jpg is not an image"),
        ("b.png", b"text", r"train-0.tar: b.png cannot be read as a mask"),
        ("b.png", encoded(np.zeros((4, 4), np.uint8)), r"b.png is 4 x 4 pixels"),
        ("b.png", encoded(np.full((8, 9), 2, np.uint8)), r"b.png has labels 2, expected 0 to 1"),
    ],
)
def test_a_damaged_image_is_named(tmp_path, name, content, message):
    three_tars(tmp_path, {**GOOD, name: content})
    splits = load(tmp_path)
    with pytest.raises(tf.errors.OpError, match=message):
        list(splits.train)


def test_the_index_is_checked(shards):
    index = json.loads((shards / "shards.json").read_text())
    path = next(shards.glob("train-000002.*"))
    assert index[path.name] == {"examples": 5, "bytes": path.stat().st_size}
    counted = find_shards(shards)
    (shards / "shards.json").unlink()
    assert find_shards(shards) == counted

    def change(**rows):
        (shards / "shards.json").write_text(json.dumps({**index, **rows}))

    change(**{path.name: {"examples": 4, "bytes": path.stat().st_size}})
    with pytest.raises(tf.errors.OpError, match=r"train-000002.* must hold 4 examples.*: 5"):
        list(petseg.load_shards(shards, **BATCHING, augment=False).train)
    change()
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(ValueError, match=r"train-000002.* bytes, as shards.json says"):
        petseg.load_shards(shards)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"train-000002.* is missing. shards.json lists"):
        petseg.load_shards(shards)
    (shards / "shards.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"shards.json is damaged"):
        petseg.load_shards(shards)


def test_a_missing_split_is_said(tmp_path):
    write_tar(tmp_path / "train-0.tar", GOOD)
    with pytest.raises(FileNotFoundError, match="which has none for val and test"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="`root` must be a folder of shards"):
        load(tmp_path / "nothing")


def test_bad_arguments(tmp_path, own_folder):
    with pytest.raises(ValueError, match="`shuffle_buffer` must be a positive integer"):
        load(tmp_path, shuffle_buffer=0)
    with pytest.raises(ValueError, match=r"`format` must be .*tar.*Received: 'zip'"):
        write_shards(own_folder, tmp_path / "new", format="zip", class_names=PET_CLASSES)
    with pytest.raises(FileExistsError, match="`out` must be a new or an empty folder"):
        write_shards(own_folder, own_folder, class_names=PET_CLASSES)
    (own_folder / "val" / "masks" / "0.png").unlink()
    with pytest.raises(FileNotFoundError, match="has no file of the same name"):
        write_shards(own_folder, tmp_path / "new", class_names=PET_CLASSES)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("shards", ["tar"], indirect=True)
def test_a_source_of_shards(shards, many_pets):
    arguments = {**BATCHING, "augment": False}
    source, folder = DataSource(str(shards)), DataSource(str(many_pets), classes=PET_CLASSES)
    assert source.class_names == PET_CLASSES
    assert source.describe() == folder.describe()
    expected = petseg.load_shards(shards, **arguments)
    assert_same(
        batches_from_epoch(source.splits(**arguments).train, 0).take(2),
        batches_from_epoch(expected.train, 0).take(2),
    )
    assert source.notes()
    assert len(source.splits(**arguments, oversample=True, cache="memory").train) >= 6
    with pytest.raises(ValueError, match="`oversample` must be False for shards without a cache"):
        source.splits(oversample=True)
    with pytest.raises(ValueError, match="`name` must be a folder of images and masks"):
        source.problems()
    for field, value in (("images", "train"), ("binary", True)):
        with pytest.raises(ValueError, match=f"`{field}` must be .* for shards"):
            DataSource(str(shards), **{field: value}).splits()
