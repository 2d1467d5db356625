"""Shards: tar files as WebDataset writes them, and TFRecord files, each of many examples."""

import itertools
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import tensorflow as tf

from petseg.data.folder_names import SPLIT_NAMES
from petseg_runtime.image_io import ARRAY_SUFFIX, IMAGE_SUFFIXES
from petseg_runtime.json_text import parse_json

TAR, TFRECORD = "tar", "tfrecord"

# Beside the shards: the number of examples and of bytes of each, so that nothing must be counted.
INDEX = "shards.json"

# What the extension of a mask in a tar file may begin with, such as `cat.mask.png` for `cat.jpg`.
MASK = "mask."

# The features of an example in a TFRecord file.
IMAGE_FEATURE, MASK_FEATURE, NAME_FEATURE = "image", "mask", "file_name"

REPLACE = "Write or copy the shard again."


class StoredExample(NamedTuple):
    """One example as it is stored.

    Attributes:
        image_name: Path of the shard and name of the image in it, for errors.
        image: Encoded image.
        mask_name: The same of the mask.
        mask: Encoded mask.
    """

    image_name: str
    image: bytes
    mask_name: str
    mask: bytes


@dataclass(frozen=True)
class Shard:
    """A file of examples of one split.

    Attributes:
        path: The file.
        examples: Number of examples.
    """

    path: Path
    examples: int


def shard_paths(root: Path) -> dict[str, list[Path]]:
    """Finds the shards in a folder by their names, such as `train-000000.tar`.

    Args:
        root: The folder, which need not exist.

    Returns:
        The files of each split that has some, in the order of their names.
    """
    paths = [path for path in sorted(root.glob("*")) if _format(path) and path.is_file()]
    found: dict[str, list[Path]] = {}
    for split, names in SPLIT_NAMES.items():
        named = re.compile(rf"(?:{'|'.join(names)})[-_.].*")
        of_split = [path for path in paths if named.fullmatch(path.name)]
        if of_split:
            found[split] = of_split
    return found


def find_shards(root: Path) -> dict[str, list[Shard]]:
    """Finds the shards in a folder and the number of their examples.

    Shards that `shards.json` does not list are counted.

    Args:
        root: The folder.

    Returns:
        The shards of train, val and test.

    Raises:
        FileNotFoundError: If the folder, a split or a listed shard is missing.
        ValueError: If a shard or the list is damaged, or a shard is empty.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"`root` must be a folder of shards. Received: {root}.")
    paths = shard_paths(root)
    missing = [split for split in SPLIT_NAMES if split not in paths]
    if missing:
        raise FileNotFoundError(
            "`root` must hold shards for every split, such as train-000000.tar, val-000000.tar and "
            f"test-000000.tar or the same with .tfrecord. Received: {root}, which has none for "
            f"{' and '.join(missing)}."
        )
    listed = _read_index(root / INDEX)
    names = {path.name for of_split in paths.values() for path in of_split}
    for name in listed:
        if name not in names:
            raise FileNotFoundError(f"{root / name} is missing. {INDEX} lists it. {REPLACE}")
    return {
        split: [_shard(path, listed.get(path.name)) for path in of_split]
        for split, of_split in paths.items()
    }


def read_shard(shard: Shard) -> Iterator[StoredExample]:
    """Reads the examples of a shard in their order, one at a time.

    Args:
        shard: The shard.

    Yields:
        Each example, still encoded.

    Raises:
        ValueError: If the shard is damaged, does not hold pairs of an image and a mask, or holds
            another number of them.
    """
    count = 0
    for example in _read_tar(shard.path) if _is_tar(shard.path) else _read_records(shard.path):
        count += 1
        yield example
    if count != shard.examples:
        raise ValueError(
            f"{shard.path} must hold {shard.examples} examples. Received: {count}. {REPLACE}"
        )


def count_examples(path: Path) -> int:
    """Counts the examples of a shard.

    Args:
        path: The shard. Of a tar file, only the headers are read.

    Returns:
        The number of examples.

    Raises:
        ValueError: If the shard is damaged, or a tar file does not hold pairs.
    """
    counted: Iterable[Any] = _tar_pairs(path) if _is_tar(path) else _serialized(path)
    return sum(1 for _ in counted)


def _format(path: Path) -> str | None:
    if _is_tar(path):
        return TAR
    return TFRECORD if ".tfrecord" in path.name and not path.name.startswith(".") else None


def _is_tar(path: Path) -> bool:
    return path.suffix == ".tar" and not path.name.startswith(".")


def _read_index(path: Path) -> dict[str, tuple[int, int]]:
    """Reads the number of examples and of bytes of each listed shard."""
    if not path.is_file():
        return {}
    try:
        record = parse_json(path.read_bytes())
        return {
            str(name): (int(row["examples"]), int(row["bytes"])) for name, row in record.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete it, and the shards are counted instead."
        ) from error


def _shard(path: Path, listed: tuple[int, int] | None) -> Shard:
    if listed is None:
        shard = Shard(path, count_examples(path))
    else:
        shard, size = Shard(path, listed[0]), path.stat().st_size
        if size != listed[1]:
            raise ValueError(
                f"{path} must have {listed[1]:,} bytes, as {INDEX} says. Received: {size:,}. "
                f"{REPLACE}"
            )
    if not shard.examples:
        raise ValueError(f"{path} must hold examples. Received: an empty shard. Remove it.")
    return shard


def _read_tar(path: Path) -> Iterator[StoredExample]:
    for tar, image, mask in _tar_pairs(path):
        contents = []
        for member in (image, mask):
            file = tar.extractfile(member)
            assert file is not None  # a regular file
            contents.append(file.read())
        yield StoredExample(
            f"{path}: {image.name}", contents[0], f"{path}: {mask.name}", contents[1]
        )


def _tar_pairs(
    path: Path,
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, tarfile.TarInfo]]:
    """Finds the image and the mask of each example of a tar file."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for _, group in itertools.groupby(_members(tar, file), _key):
                pair = _pair(path, list(group))
                if pair is not None:
                    yield tar, *pair
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is no tar file, or is damaged or cut off: {error}. {REPLACE}"
        ) from error


def _members(tar: tarfile.TarFile, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Lists the members that are files."""
    yield from (member for member in tar if member.isfile())
    # `tarfile` also ends without an error where a header is cut off or damaged.
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"there is no member and no end at byte {tar.offset}")


def _key(member: tarfile.TarInfo) -> str:
    """The name up to the first dot, as WebDataset has it."""
    name = PurePosixPath(member.name)
    return str(name.parent / name.name.partition(".")[0])


def _pair(
    path: Path, members: list[tarfile.TarInfo]
) -> tuple[tarfile.TarInfo, tarfile.TarInfo] | None:
    """Finds the image and the mask among the members of one key, None where there is neither."""
    images: list[tarfile.TarInfo] = []
    masks: list[tarfile.TarInfo] = []
    for member in members:
        name = PurePosixPath(member.name)
        if name.suffix.lower() in (*IMAGE_SUFFIXES, ARRAY_SUFFIX) and name.name[0] != ".":
            extension = name.name.partition(".")[2].lower()
            (masks if extension.startswith(MASK) else images).append(member)
    if len(images) == 2 and not masks:
        masks = [member for member in images if member.name.lower().endswith(".png")]
        images = [member for member in images if member not in masks]
    if not images and not masks:
        return None
    if len(images) != 1 or len(masks) != 1:
        names = ", ".join(member.name for member in (*images, *masks))
        raise ValueError(
            f"{path} must hold an image and a mask of the same name one after the other, such as "
            f"cat.jpg and cat.png or cat.png and cat.mask.png. Received: {names}. {REPLACE}"
        )
    return images[0], masks[0]


def _read_records(path: Path) -> Iterator[StoredExample]:
    for number, content in enumerate(_serialized(path)):
        try:
            features = tf.train.Example.FromString(content).features.feature
        except Exception as error:  # protobuf's DecodeError is not public.
            raise ValueError(
                f"{path}: record {number} is no tf.train.Example: {error}. {REPLACE}"
            ) from error
        values = {name: list(feature.bytes_list.value) for name, feature in features.items()}
        for name in (IMAGE_FEATURE, MASK_FEATURE):
            if len(values.get(name, ())) != 1:
                raise ValueError(
                    f"{path}: record {number} must have the features {IMAGE_FEATURE} and "
                    f"{MASK_FEATURE}, each an encoded image as bytes. Received: "
                    f"{', '.join(sorted(values)) or 'no feature'}. {REPLACE}"
                )
        names = values.get(NAME_FEATURE) or [b""]
        where = f"{path}: record {number}"
        name = names[0].decode(errors="replace")
        yield StoredExample(
            f"{where}: {name}" if name else where,
            values[IMAGE_FEATURE][0],
            f"{where}: mask of {name}" if name else f"{where}: mask",
            values[MASK_FEATURE][0],
        )


def _serialized(path: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise ValueError(
            f"{path} is no TFRecord file, or is damaged or cut off: {error.message}. {REPLACE}"
        ) from error
