"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012), as `tensorflow_datasets` stores it, to examples."""

import os
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from petseg.data.name_hash import name_bucket
from petseg.data.records import Records

PET_CLASSES = ("pet", "background", "border")
BINARY_CLASSES = ("pet", "background")


def pet_examples(data_dir: str | os.PathLike[str] | None = None) -> dict[str, tf.data.Dataset]:
    """Reads the examples of Oxford-IIIT Pet at their own sizes, in the order of the records.

    `train` and `val` divide the official trainval list, see `in_val`; `test` is the official one.
    Unless the dataset is already prepared, see `is_prepared`, this downloads 800 MB.

    Args:
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`.

    Returns:
        For each of "train", "val" and "test" a dataset of dicts: `image` (uint8, `(H, W, 3)`),
        `mask` (uint8, `(H, W, 1)`, indices into `PET_CLASSES`) and `file_name`.

    Raises:
        FileNotFoundError: If the dataset is not there and cannot be downloaded or prepared.
        ValueError: If `data_dir` is a file.
    """
    return {split: records.examples() for split, records in pet_records(data_dir).items()}


def pet_records(data_dir: str | os.PathLike[str] | None = None) -> dict[str, Records]:
    """Finds the examples of `pet_examples`, whose entries are encoded photos and trimaps.

    Args:
        data_dir: As for `pet_examples`.

    Returns:
        The records of each split.

    Raises:
        FileNotFoundError: If the dataset is not there and cannot be downloaded or prepared.
        ValueError: If `data_dir` is a file.
    """
    builder = prepared_builder(data_dir)
    features = builder.info.features
    names_only = tfds.decode.PartialDecoding({"file_name": True})
    names = [record["file_name"] for record in _read(builder, "train", names_only)]
    num_val = int(tf.math.count_nonzero(in_val(names)))

    def records(split: str, entries: tf.data.Dataset, count: int) -> Records:
        entries = entries.apply(tf.data.experimental.assert_cardinality(count))
        return Records(entries, to_example, lambda: [str(builder.data_path), split])

    def to_example(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image, trimap = decode(record, features)
        return {"image": image, "mask": trimap - 1, "file_name": record["file_name"]}

    # Photos are decoded after the filter, which needs only their names.
    trainval, test = read_records(builder, "train"), read_records(builder, "test")
    return {
        "train": records(
            "train",
            trainval.filter(lambda record: ~in_val(record["file_name"])),
            len(names) - num_val,
        ),
        "val": records("val", trainval.filter(lambda record: in_val(record["file_name"])), num_val),
        "test": records("test", test, builder.info.splits["test"].num_examples),
    }


def in_val(file_names: tf.Tensor) -> tf.Tensor:
    """Decides which files of the official trainval list are held out for validation.

    Args:
        file_names: Strings of any shape, such as "Abyssinian_1.jpg".

    Returns:
        bool of the same shape, true for about one in ten, by a hash of the name.
    """
    return name_bucket(file_names) == 0


def border_as_pet(records: Records) -> Records:
    """Merges the border class into the pet.

    Args:
        records: Examples with a `mask` of indices into `PET_CLASSES`.

    Returns:
        The same examples with a `mask` of indices into `BINARY_CLASSES`.
    """
    pet, border = PET_CLASSES.index("pet"), PET_CLASSES.index("border")

    def merge(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        mask = example["mask"]
        is_border = mask == tf.cast(border, mask.dtype)
        return {**example, "mask": tf.where(is_border, tf.cast(pet, mask.dtype), mask)}

    return records.map(merge, BINARY_CLASSES)


def is_prepared(data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Returns whether Oxford-IIIT Pet can be read without a download.

    Args:
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`.

    Returns:
        False if `load_pets` with this `data_dir` would start by downloading 800 MB.

    Raises:
        ValueError: If `data_dir` is a file.
    """
    return _find_prepared(_builder(data_dir)) is not None


def pets_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder where Oxford-IIIT Pet is, or where a download would put it.

    Args:
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`.

    Returns:
        The path of `oxford_iiit_pet/`, which need not exist.

    Raises:
        ValueError: If `data_dir` is a file.
    """
    return Path(_builder(data_dir).data_path).parent


def prepared_builder(data_dir: str | os.PathLike[str] | None) -> tfds.core.DatasetBuilder:
    """Returns a builder whose records are on the disk; downloads them if they are missing.

    Args:
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`.

    Returns:
        The builder of version 4, or of version 3 where only that is there.

    Raises:
        FileNotFoundError: If the records are not there and cannot be downloaded or prepared.
        ValueError: If `data_dir` is a file.
    """
    builder = _builder(data_dir)
    prepared = _find_prepared(builder)
    if prepared is not None:
        return prepared
    try:
        builder.download_and_prepare()
    except Exception as error:  # Anything from the network, the archives or the disk.
        raise FileNotFoundError(
            f"Oxford-IIIT Pet is not in {Path(builder.data_path).parent}, and its download or "
            f"preparation failed with {type(error).__name__}: {error} Pass as `data_dir` the "
            "folder that holds `oxford_iiit_pet/`, or unpack the official images.tar.gz and "
            "annotations.tar.gz into one folder and pass that to `petseg.load_folder`."
        ) from error
    return builder


def read_records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Reads records with the photo and the trimap still encoded.

    Args:
        builder: The result of `prepared_builder`.
        split: "train" for the official trainval list, or "test".

    Returns:
        A dataset of dicts for `decode`: `image`, `segmentation_mask` and `file_name`.
    """
    skip = tfds.decode.SkipDecoding()
    wanted = {"image": True, "segmentation_mask": True, "file_name": True}
    encoded = tfds.decode.PartialDecoding(
        wanted, decoders={"image": skip, "segmentation_mask": skip}
    )
    return _read(builder, split, encoded)


def decode(
    record: dict[str, tf.Tensor], features: tfds.features.FeaturesDict
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes the photo and the trimap of a record.

    Args:
        record: One record of `read_records`.
        features: The features of the builder, `builder.info.features`.

    Returns:
        `(image, trimap)`: uint8 `(H, W, 3)` in [0, 255], and uint8 `(H, W, 1)` of 1 pet,
        2 background and 3 border.

    Raises:
        tf.errors.OpError: If one of the two is not an image.
    """
    keys = "image", "segmentation_mask"
    image, trimap = (features[key].decode_example(record[key]) for key in keys)
    return image, trimap


def _builder(data_dir: str | os.PathLike[str] | None) -> tfds.core.DatasetBuilder:
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"`data_dir` must be a folder. Received: {folder}, which is a file.")
    return tfds.builder("oxford_iiit_pet", data_dir=folder)


def _find_prepared(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetBuilder | None:
    if builder.is_prepared():
        return builder
    # Version 3 has the same photos and trimaps, and no head boxes.
    for version in sorted(Path(builder.data_path).parent.glob("3.*"), reverse=True):
        if (version / "dataset_info.json").is_file():
            return tfds.builder_from_directory(version)
    return None


def _read(
    builder: tfds.core.DatasetBuilder, split: str, decoders: tfds.decode.PartialDecoding
) -> tf.data.Dataset:
    # TFDS would cache a dataset this small in memory; the pipeline caches the resized images.
    config = tfds.ReadConfig(try_autocache=False)
    return builder.as_dataset(split=split, decoders=decoders, read_config=config)
