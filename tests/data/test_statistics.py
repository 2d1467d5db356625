import numpy as np
import pytest
import tensorflow as tf

from petseg.data import PET_CLASSES, SplitSummary, describe, synthetic_examples


def test_by_hand():
    def generate():
        for size, label in (((2, 10), 0), ((4, 10), 1), ((6, 5), 255)):
            mask = np.full((*size, 1), label, np.uint8)
            yield {"image": np.repeat(mask, 3, axis=-1), "mask": mask}

    spec = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "mask": tf.TensorSpec((None, None, 1), tf.uint8),
    }
    examples = tf.data.Dataset.from_generator(generate, output_signature=spec)
    # 20 pixels of a, 40 of b and 30 unlabelled.
    assert describe({"train": examples}, ("a", "b")) == {
        "train": SplitSummary(
            examples=3,
            class_shares={"a": pytest.approx(2 / 9), "b": pytest.approx(4 / 9)},
            unlabelled_share=pytest.approx(3 / 9),
            smallest=(2, 5),
            median=(4, 10),
            largest=(6, 10),
        )
    }


def test_synthetic_pets():
    summaries = describe(synthetic_examples(10, seed=0), PET_CLASSES)
    assert [summary.examples for summary in summaries.values()] == [6, 2, 2]
    assert sum(summaries["train"].class_shares.values()) == pytest.approx(1)
    assert summaries["train"].unlabelled_share == 0


def test_a_label_of_no_class_is_refused():
    with pytest.raises(ValueError, match=r"labels 0 to 1, or 255 .*Received: 2\. Name every class"):
        describe(synthetic_examples(10, seed=0), ("pet", "background"))


def test_an_empty_split_is_refused():
    empty = synthetic_examples(10, seed=0)["train"].take(0)
    with pytest.raises(ValueError, match="`examples` must hold at least one example"):
        describe({"train": empty}, PET_CLASSES)
