import math

import numpy as np
import pytest

from petseg_runtime import validation


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", None, math.nan])
def test_what_is_no_integer_is_refused(value):
    assert not validation.is_integer(value)
    with pytest.raises(ValueError, match=r"`count` must be a positive integer\. Received: "):
        validation.integer("count", value, 1)


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_integers_of_numpy_are_integers(value):
    found = validation.integer("count", value, 2)
    assert (found, type(found)) == (2, int)
    with pytest.raises(ValueError, match="`count` must be an integer of 3 or more"):
        validation.integer("count", value, 3)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf, 1j])
def test_what_is_no_number_is_refused(value):
    assert not validation.is_number(value)
    with pytest.raises(ValueError, match="`rate` must be a positive number"):
        validation.positive_number("rate", value)


def test_numbers_of_numpy_are_numbers():
    found = validation.positive_number("rate", np.float32(0.5))
    assert (found, type(found)) == (0.5, float)
    assert validation.fraction("dropout", np.float64(0.25)) == 0.25


def test_one_is_a_fraction_only_of_a_closed_interval():
    assert validation.fraction("opacity", 1, closed=True) == 1.0
    with pytest.raises(ValueError, match=r"`dropout` must be a number in \[0, 1\)"):
        validation.fraction("dropout", 1)


@pytest.mark.parametrize("values", [(), (1, 2, 3, 4), (0,), (True,), (1.5,), "12", 3, None])
def test_what_are_no_integers_are_refused(values):
    with pytest.raises(ValueError, match="`filters` must hold 1 to 3 positive integers"):
        validation.integers("filters", values, at_most=3)


def test_integers_come_back_as_a_tuple():
    assert validation.integers("filters", np.array([4, 2]), at_most=3) == (4, 2)


@pytest.mark.parametrize(
    "values", [(1, 2), (1, 2, -1), (0, 0, 0), (1, 2, math.nan), (1, 2, math.inf), "123", 3, None]
)
def test_what_are_no_class_weights_are_refused(values):
    with pytest.raises(ValueError, match="`class_weights` must hold 3 numbers of 0 or more"):
        validation.class_weights("class_weights", values, 3)


def test_class_weights_come_back_as_floats():
    assert validation.class_weights("class_weights", np.array([1, 2]), 2) == (1.0, 2.0)


@pytest.mark.parametrize("value", [32, (32,), (32, 16), (32.0, 32.0), (True, 32), "ab", None])
def test_what_is_no_image_size_is_refused(value):
    with pytest.raises(ValueError, match="`image_size` must be two integers of 32 or more"):
        validation.image_size("image_size", value, 32)


@pytest.mark.parametrize(
    "values", ["ab", ("a",), ("a", "a"), ("a", ""), ("a", 3), {"a", "b"}, {"a": 1, "b": 2}, None, 3]
)
def test_what_are_no_class_names_is_refused(values):
    with pytest.raises(ValueError, match="`class_names` must hold two or more different names"):
        validation.class_names("class_names", values)


def test_only_booleans_are_booleans():
    assert validation.boolean("tta", np.True_) is True
    for value in (1, 0, "yes", None):
        with pytest.raises(ValueError, match="`tta` must be True or False"):
            validation.boolean("tta", value)
    with pytest.raises(ValueError, match="`verbose` must be one of auto, 0, 1"):
        validation.choice("verbose", True, ("auto", 0, 1))


def test_a_choice_suggests_what_is_near():
    with pytest.raises(ValueError, match=r"one of a_b, c\. Received: 'ab'\. Did you mean 'a_b'\?"):
        validation.choice("option", "ab", ("a_b", "c"))
    with pytest.raises(ValueError, match=r"Received: \['c'\]\.$"):
        validation.choice("option", ["c"], ("a", "c"))
    assert validation.choice("option", None, (None, "c")) is None
