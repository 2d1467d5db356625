"""Checks of arguments: one place, used by every public function.

Each check returns the value in its plain Python type or raises a `ValueError` that names the
argument, what was expected and what was received. Booleans are not numbers. NumPy scalars are.
"""

import difflib
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np


def is_integer(value: Any) -> bool:
    """Tells integers from everything else.

    Args:
        value: Anything.

    Returns:
        Whether `value` is a Python or NumPy integer and not a boolean.
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tells finite numbers from everything else.

    Args:
        value: Anything.

    Returns:
        Whether `value` is a finite Python or NumPy real number and not a boolean.
    """
    is_real = isinstance(value, int | float | np.integer | np.floating)
    try:
        return is_real and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def integer(name: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """Checks an integer.

    Args:
        name: The argument's name, for the error.
        value: What was received.
        minimum: The smallest allowed value.
        maximum: The greatest allowed value, or None.

    Returns:
        `value` as an `int`.

    Raises:
        ValueError: If `value` is not an integer in that range.
    """
    too_large = maximum is not None and is_integer(value) and value > maximum
    if not is_integer(value) or value < minimum or too_large:
        kind = "a positive integer" if minimum == 1 else f"an integer of {minimum} or more"
        if maximum is not None:
            kind = f"an integer from {minimum} to {maximum}"
        raise ValueError(f"`{name}` must be {kind}. Received: {value!r}.")
    return int(value)


def optional_integer(name: str, value: Any) -> int | None:
    """Checks an integer of any sign, or None.

    Args:
        name: The argument's name, for the error.
        value: What was received.

    Returns:
        `value` as an `int`, or None.

    Raises:
        ValueError: If `value` is neither, or has more than 32 bits.
    """
    if value is None:
        return None
    if not is_integer(value):
        raise ValueError(f"`{name}` must be an integer or None. Received: {value!r}.")
    if not -(2**31) <= value < 2**31:  # labels are int32
        raise ValueError(f"`{name}` must fit into 32 bits. Received: {value!r}.")
    return int(value)


def integers(
    name: str, values: Any, *, at_most: int, minimum: int = 1, at_least: int = 1
) -> tuple[int, ...]:
    """Checks a sequence of integers.

    Args:
        name: The argument's name, for the error.
        values: What was received.
        at_most: The greatest allowed number of values.
        minimum: The smallest allowed value.
        at_least: The smallest allowed number of values.

    Returns:
        `values` as a tuple of `int`.

    Raises:
        ValueError: If `values` is not such a sequence.
    """
    found = tuple(values) if isinstance(values, Sequence | np.ndarray) else ()
    is_wrong = isinstance(values, str) or not all(is_integer(v) and v >= minimum for v in found)
    if is_wrong or not at_least <= len(found) <= at_most:
        kind = "positive integers" if minimum == 1 else f"integers of {minimum} or more"
        raise ValueError(
            f"`{name}` must hold {at_least} to {at_most} {kind}. Received: {values!r}."
        )
    return tuple(int(value) for value in found)


def fraction(name: str, value: Any, *, closed: bool = False) -> float:
    """Checks a number from 0 to 1.

    Args:
        name: The argument's name, for the error.
        value: What was received.
        closed: Whether 1 itself is allowed.

    Returns:
        `value` as a `float`.

    Raises:
        ValueError: If `value` is not a number in that range.
    """
    if not is_number(value) or not 0 <= value <= 1 or (value == 1 and not closed):
        interval = "[0, 1]" if closed else "[0, 1)"
        raise ValueError(f"`{name}` must be a number in {interval}. Received: {value!r}.")
    return float(value)


def positive_number(name: str, value: Any) -> float:
    """Checks a finite number greater than 0.

    Args:
        name: The argument's name, for the error.
        value: What was received.

    Returns:
        `value` as a `float`.

    Raises:
        ValueError: If `value` is not a finite number greater than 0.
    """
    if not is_number(value) or value <= 0:
        raise ValueError(f"`{name}` must be a positive number. Received: {value!r}.")
    return float(value)


def positive_numbers(name: str, values: Any, *, or_text: str = "") -> tuple[float, ...]:
    """Checks one or more finite numbers greater than 0.

    Args:
        name: The argument's name, for the error.
        values: What was received.
        or_text: A text that the argument may be instead, for the error.

    Returns:
        `values` as a tuple of `float`.

    Raises:
        ValueError: If `values` does not hold such numbers.
    """
    found = tuple(values) if isinstance(values, Sequence | np.ndarray) else ()
    if not found or not all(is_number(value) and value > 0 for value in found):
        instead = f" or be {or_text!r}" if or_text else ""
        raise ValueError(
            f"`{name}` must hold one or more positive numbers{instead}. Received: {values!r}."
        )
    return tuple(float(value) for value in found)


def class_weights(name: str, values: Any, num_classes: int | None = None) -> tuple[float, ...]:
    """Checks weights of classes: finite numbers of 0 or more, not all of them 0.

    Args:
        name: The argument's name, for the error.
        values: What was received.
        num_classes: How many weights are expected. None allows any number.

    Returns:
        `values` as a tuple of `float`.

    Raises:
        ValueError: If `values` does not hold such weights.
    """
    found = tuple(values) if isinstance(values, Sequence | np.ndarray) else ()
    is_count = len(found) == num_classes if num_classes is not None else len(found) > 0
    if not is_count or not all(is_number(v) and v >= 0 for v in found) or not any(found):
        expected = "a number" if num_classes is None else f"{num_classes} numbers"
        raise ValueError(
            f"`{name}` must hold {expected} of 0 or more, one for each class, not all 0. "
            f"Received: {values!r}."
        )
    return tuple(float(value) for value in found)


def image_size(name: str, value: Any, minimum: int = 1) -> tuple[int, int]:
    """Checks an image size, (height, width).

    Args:
        name: The argument's name, for the error.
        value: What was received.
        minimum: The smallest allowed side, in pixels.

    Returns:
        `value` as a tuple of two `int`.

    Raises:
        ValueError: If `value` is not two integers of at least `minimum`.
    """
    sides = tuple(value) if isinstance(value, list | tuple | np.ndarray) else ()
    if len(sides) != 2 or not all(is_integer(side) and side >= minimum for side in sides):
        kind = "positive integers" if minimum == 1 else f"integers of {minimum} or more"
        raise ValueError(f"`{name}` must be two {kind}, (height, width). Received: {value!r}.")
    return int(sides[0]), int(sides[1])


def class_names(name: str, values: Any, num_classes: int | None = None) -> tuple[str, ...]:
    """Checks names of classes: different, non-empty strings.

    Args:
        name: The argument's name, for the error.
        values: What was received.
        num_classes: How many names are expected. None allows any number of at least two.

    Returns:
        `values` as a tuple of `str`.

    Raises:
        ValueError: If `values` does not hold such names.
    """
    is_ordered = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    found = tuple(values) if is_ordered else ()
    are_names = all(isinstance(value, str) and value.strip() for value in found)
    is_count = len(found) >= 2 if num_classes is None else len(found) == num_classes
    if not are_names or not is_count or len(set(found)) != len(found):
        count = "two or more" if num_classes is None else str(num_classes)
        raise ValueError(
            f"`{name}` must hold {count} different names, one for each class, in the order of the "
            f"labels. Received: {values!r}."
        )
    return found


def choice(name: str, value: Any, options: Collection[Any]) -> Any:
    """Checks that a value is one of a few.

    Args:
        name: The argument's name, for the error.
        value: What was received.
        options: What is allowed.

    Returns:
        The option that equals `value`.

    Raises:
        ValueError: If `value` is not one of `options`. The error suggests similar ones.
    """
    if value is None or isinstance(value, str | int):
        for option in options:
            # `True` equals 1, and is not that number.
            if value == option and isinstance(value, bool) == isinstance(option, bool):
                return option
    raise ValueError(
        f"`{name}` must be one of {', '.join(map(str, options))}. "
        f"Received: {value!r}.{did_you_mean(value, options)}"
    )


def boolean(name: str, value: Any) -> bool:
    """Checks True or False.

    Args:
        name: The argument's name, for the error.
        value: What was received.

    Returns:
        `value` as a `bool`.

    Raises:
        ValueError: If `value` is not a Python or NumPy boolean.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False. Received: {value!r}.")
    return bool(value)


def did_you_mean(value: Any, options: Iterable[Any]) -> str:
    """Suggests the options that look like `value`.

    Args:
        value: What was received.
        options: What is allowed. Options that are not strings are left out.

    Returns:
        A sentence that begins with a space, or an empty string where nothing is similar.
    """
    names = [option for option in options if isinstance(option, str)]
    near = difflib.get_close_matches(str(value).lower(), names, n=3, cutoff=0.4)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
