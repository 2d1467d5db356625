"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012), as `tensorflow_datasets` stores it, to examples."""

import os
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

PET_CLASSES = ("pet", "background", "border")
BINARY_CLASSES = ("pet", "background")


def pet_examples(data_dir: str | os.PathLike[str] | None = None) -> dict[str, tf.data.Dataset]:
    """Examples of `train`, `val` and `test`, in the order of the records.

    `train` and `val` part the official trainval list; `test` is the official one. See
    `petseg.load_pets` for `data_dir` and errors.
    """
    builder = prepared_builder(data_dir)
    features = builder.info.features
    names_only = tfds.decode.PartialDecoding({"file_name": True})
    names = [record["file_name"] for record in _read(builder, "train", names_only)]
    num_val = int(tf.math.count_nonzero(in_val(names)))

    def examples(records: tf.data.Dataset, count: int) -> tf.data.Dataset:
        records = records.apply(tf.data.experimental.assert_cardinality(count))
        return records.map(to_example, num_parallel_calls=tf.data.AUTOTUNE)

    def to_example(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image, trimap = decode(record, features)
        return {"image": image, "mask": trimap - 1, "file_name": record["file_name"]}

    # Photos are decoded after the filter, which needs their names alone.
    trainval, test = read_records(builder, "train"), read_records(builder, "test")
    return {
        "train": examples(
            trainval.filter(lambda record: ~in_val(record["file_name"])), len(names) - num_val
        ),
        "val": examples(trainval.filter(lambda record: in_val(record["file_name"])), num_val),
        "test": examples(test, builder.info.splits["test"].num_examples),
    }


def in_val(file_names: tf.Tensor) -> tf.Tensor:
    """Which of the official trainval list are held out for validation: about one in ten."""
    return name_bucket(file_names) == 0


def name_bucket(file_names: tf.Tensor) -> tf.Tensor:
    """0 to 9 by a hash of the name: the same on every machine, whatever the order of the files.

    The hash is FarmHash's Fingerprint64, made to stay the same for good; Python's own differs from
    run to run.
    """
    return tf.strings.to_hash_bucket_fast(file_names, 10)


def border_as_pet(examples: tf.data.Dataset) -> tf.data.Dataset:
    """Two classes, the border counted as pet."""
    pet, border = PET_CLASSES.index("pet"), PET_CLASSES.index("border")

    def merge(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        mask = example["mask"]
        is_border = mask == tf.cast(border, mask.dtype)
        return {**example, "mask": tf.where(is_border, tf.cast(pet, mask.dtype), mask)}

    return examples.map(merge, num_parallel_calls=tf.data.AUTOTUNE)


def is_prepared(data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Returns whether Oxford-IIIT Pet can be read without a download."""
    builder = tfds.builder("oxford_iiit_pet", data_dir=data_dir)
    versions = Path(builder.data_path).parent.glob("3.*")
    return builder.is_prepared() or any((v / "dataset_info.json").is_file() for v in versions)


def pets_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder where Oxford-IIIT Pet is, or where a download would put it."""
    return Path(tfds.builder("oxford_iiit_pet", data_dir=data_dir).data_path).parent


def prepared_builder(data_dir: str | os.PathLike[str] | None) -> tfds.core.DatasetBuilder:
    """The builder whose records are on the disk, after a download if they were not.

    Raises `FileNotFoundError` when the download fails.
    """
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"`data_dir` must be a folder. Received: {folder}, which is a file.")
    builder = tfds.builder("oxford_iiit_pet", data_dir=folder)
    if builder.is_prepared():
        return builder
    # Version 3 has the same photos and trimaps, and no head boxes.
    for version in sorted(Path(builder.data_path).parent.glob("3.*"), reverse=True):
        if (version / "dataset_info.json").is_file():
            return tfds.builder_from_directory(version)
    try:
        builder.download_and_prepare()
    except Exception as error:  # Anything from the network, the archives or the disk.
        raise FileNotFoundError(
            f"Oxford-IIIT Pet is not in {Path(builder.data_path).parent}, and to download and "
            f"prepare it failed with {type(error).__name__}: {error} Pass as `data_dir` the folder "
            "that has `oxford_iiit_pet/` in it; or unpack the official images.tar.gz and "
            "annotations.tar.gz into one folder and give that to `petseg.load_folder`."
        ) from error
    return builder


def read_records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Records with photo and trimap still encoded, for `decode`."""
    skip = tfds.decode.SkipDecoding()
    wanted = {"image": True, "segmentation_mask": True, "file_name": True}
    encoded = tfds.decode.PartialDecoding(
        wanted, decoders={"image": skip, "segmentation_mask": skip}
    )
    return _read(builder, split, encoded)


def decode(
    record: dict[str, tf.Tensor], features: tfds.features.FeaturesDict
) -> tuple[tf.Tensor, tf.Tensor]:
    """Image `(H, W, 3)` and trimap `(H, W, 1)` of 1 pet, 2 background and 3 border; uint8."""
    keys = "image", "segmentation_mask"
    image, trimap = (features[key].decode_example(record[key]) for key in keys)
    return image, trimap


def _read(
    builder: tfds.core.DatasetBuilder, split: str, decoders: tfds.decode.PartialDecoding
) -> tf.data.Dataset:
    # TFDS would keep a set this small in memory; the pipeline caches what is resized instead.
    config = tfds.ReadConfig(try_autocache=False)
    return builder.as_dataset(split=split, decoders=decoders, read_config=config)
