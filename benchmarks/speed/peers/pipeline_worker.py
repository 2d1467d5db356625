"""Times a data pipeline over the training photos for `pipeline`.

python pipeline_worker.py KIND SIZE BATCH SOURCE
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def petseg_batches(size, batch, source, *, augment):
    import petseg

    return petseg.load_pets(
        image_size=(size, size), batch_size=batch, data_dir=source, augment=augment
    ).train


def tutorial_batches(size, batch, source, *, cached):
    """As in tutorials of `tf.data`: resizes each photo to float32, augments it, makes batches."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def resize(record):
        image = tf.image.resize(tf.cast(record["image"], tf.float32), (size, size))
        mask = tf.image.resize(record["segmentation_mask"], (size, size), method="nearest")
        return image, tf.cast(mask, tf.int32) - 1

    def augment(image, mask):
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            (size, size, 3),
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            area_range=(0.4, 1.0),
            min_object_covered=0.1,
        )
        image = tf.image.resize(tf.slice(image, begin, extent), (size, size))
        mask = tf.slice(mask, begin, tf.concat([extent[:2], [1]], 0))
        mask = tf.image.resize(mask, (size, size), method="nearest")
        if tf.random.uniform(()) < 0.5:
            image, mask = tf.image.flip_left_right(image), tf.image.flip_left_right(mask)
        image = tf.image.random_saturation(image / 255, 0.7, 1.3)
        image = tf.image.random_brightness(tf.image.random_contrast(image, 0.7, 1.3), 0.1)
        return 255 * tf.clip_by_value(image, 0, 1), mask

    config = tfds.ReadConfig(try_autocache=False)
    records = tfds.load("oxford_iiit_pet", split="train", data_dir=source, read_config=config)
    examples = records.map(resize, tf.data.AUTOTUNE)
    if cached:
        examples = examples.cache()
    examples = examples.shuffle(1000).map(augment, tf.data.AUTOTUNE)
    return examples.batch(batch).prefetch(tf.data.AUTOTUNE)


def torch_batches(size, batch, source):
    """A `DataLoader` with two workers and `torchvision.transforms.v2` over the same photos."""
    import torch
    from PIL import Image
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.4, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.1, contrast=0.3, saturation=0.3),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}),
        ]
    )
    photos = sorted(Path(source).glob("*.jpg"))

    class Pets(torch.utils.data.Dataset):
        def __len__(self):
            return len(photos)

        def __getitem__(self, index):
            image = Image.open(photos[index]).convert("RGB")
            mask = Image.open(photos[index].with_suffix(".png"))
            pair = tv_tensors.Image(v2.functional.pil_to_tensor(image))
            return transform(pair, tv_tensors.Mask(v2.functional.pil_to_tensor(mask)))

    return torch.utils.data.DataLoader(Pets(), batch, shuffle=True, num_workers=2)


KINDS = {
    "petseg": lambda *arguments: petseg_batches(*arguments, augment="light"),
    "petseg, strong": lambda *arguments: petseg_batches(*arguments, augment="strong"),
    "tutorial": lambda *arguments: tutorial_batches(*arguments, cached=False),
    "tutorial, cached": lambda *arguments: tutorial_batches(*arguments, cached=True),
    "torch": torch_batches,
}


def cpu_seconds():
    """CPU time of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def epoch(batches):
    """Runs one epoch; returns seconds, CPU seconds and images."""
    wall, cpu, images = time.perf_counter(), cpu_seconds(), 0
    iterator = iter(batches)  # kept alive: tf.data takes up to a second to end it
    for batch, _ in iterator:
        images += len(batch)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": cpu_seconds() - cpu,
        "images": images,
    }


def main():
    kind, size, batch, source = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print must not mix with the answers
    batches = KINDS[kind](int(size), int(batch), source)
    before = resident_mib()
    epoch(batches)  # fills the caches
    print(json.dumps({"memory_mib": round(resident_mib() - before)}), file=out, flush=True)
    for _ in sys.stdin:
        print(json.dumps(epoch(batches)), file=out, flush=True)


if __name__ == "__main__":
    main()
