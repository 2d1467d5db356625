"""Damage to files: a list of operations, drawn by Hypothesis, that JSON can hold."""

import json
import struct
import zlib
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

# An operation: its name and its arguments. Positions are taken modulo the length of the file.
Operation = list[Any]
Damage = list[Operation]

POSITIONS = st.integers(0, 2**32 - 1)
SIDES = st.sampled_from([0, 1, 2, 33, 255, 4096, 9000, 20000, 65535, 2**31 - 1, 2**32 - 1])

# Values for a place in a JSON document that expects something else.
HOSTILE_JSON = [
    *("null", "true", "[]", "{}", "[[]]", '""', '"a"', '"\\ud800"', "0", "-1", "0.5", "1e400"),
    *("-1e400", "NaN", "9" * 400, "1" + "0" * 30, '"' + "x" * 5000 + '"', "[null, null]"),
    *('{"config": null}', '[1, "a", {}]', "[" * 100000, '"../../secret"', '"/dev/zero"'),
]


def _operation(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(name), *arguments).map(list)


BYTES = (
    _operation("truncate", POSITIONS),
    _operation("flip", POSITIONS, st.integers(0, 7)),
    _operation("set", POSITIONS, st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
    _operation("insert", POSITIONS, st.binary(min_size=1, max_size=40).map(bytes.hex)),
    _operation("remove", POSITIONS, st.integers(1, 300)),
    _operation("zero", POSITIONS, st.integers(1, 300)),
    _operation("copy", POSITIONS, st.integers(1, 300), POSITIONS),
)
IMAGE = (
    *BYTES,
    _operation("claim", SIDES, SIDES),
    _operation("chunk", POSITIONS, st.integers(0, 2)),
)
JSON = (
    *BYTES,
    _operation("value", POSITIONS, st.integers(0, len(HOSTILE_JSON) - 1)),
    _operation("value", POSITIONS, st.integers(0, len(HOSTILE_JSON) - 1)),
    _operation("value", POSITIONS, st.integers(0, len(HOSTILE_JSON) - 1)),
    _operation("delete", POSITIONS),
)

# What is in a folder: an image, a mask or both, with a name and of a kind, see `corpus`.
FOLDER = (_operation("entry", st.integers(0, 2), st.integers(0, 99), st.integers(0, 99)),)


def damages(operations: tuple[st.SearchStrategy[Operation], ...]) -> st.SearchStrategy[Damage]:
    """Draws lists of one to four operations."""
    most = 12 if operations is FOLDER else 4
    return st.lists(st.one_of(*operations), min_size=1, max_size=most)


def draw(strategy: st.SearchStrategy[Any], count: int, number: int) -> list[Any]:
    """Draws `count` values, the same for each seed `number`."""
    drawn: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        drawn.append(value)

    collect()
    return drawn[:count]


def apply(data: bytes, damage: Damage) -> bytes:
    """Returns the damaged bytes."""
    for name, *arguments in damage:
        data = OPERATIONS[name](data, *arguments)
    return data


def _at(data: bytes, position: int) -> int:
    return position % max(1, len(data))


def _flip(data: bytes, position: int, bit: int) -> bytes:
    return _set(data, position, data[_at(data, position)] ^ (1 << bit)) if data else data


def _set(data: bytes, position: int, value: int) -> bytes:
    at = _at(data, position)
    return data[:at] + bytes([value]) + data[at + 1 :]


def _insert(data: bytes, position: int, value: str) -> bytes:
    at = _at(data, position)
    return data[:at] + bytes.fromhex(value) + data[at:]


def _remove(data: bytes, position: int, length: int) -> bytes:
    at = _at(data, position)
    return data[:at] + data[at + length :]


def _zero(data: bytes, position: int, length: int) -> bytes:
    at = _at(data, position)
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def _copy(data: bytes, position: int, length: int, target: int) -> bytes:
    part = data[_at(data, position) :][:length]
    return _insert(data, target, part.hex())


def _claim(data: bytes, width: int, height: int) -> bytes:
    """Writes another size into the header of an image."""
    small = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    if data.startswith(b"\x89PNG"):
        head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    if data.startswith(b"GIF8"):
        return data[:6] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + data[10:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<II", width, height) + data[26:]
    if data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            at = data.find(marker)
            if at >= 0:
                return data[: at + 5] + small + data[at + 9 :]
    if data[8:16] == b"WEBPVP8 ":
        return data[:26] + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF) + data[30:]
    return _claim_in_tiff(data, width, height) if data[:4] in (b"II*\0", b"MM\0*") else data


def _claim_in_tiff(data: bytes, width: int, height: int) -> bytes:
    order = "<" if data[:1] == b"I" else ">"
    for tag, value in ((256, width), (257, height)):
        at = data.find(struct.pack(f"{order}HHI", tag, 4, 1))
        at = at if at >= 0 else data.find(struct.pack(f"{order}HHI", tag, 3, 1))
        if at >= 0:
            data = data[: at + 2] + struct.pack(f"{order}HII", 4, 1, value) + data[at + 12 :]
    return data


def _chunk(data: bytes, position: int, change: int) -> bytes:
    """Removes (0), repeats (1) or moves to the end (2) a chunk of a PNG or a block of others."""
    if data.startswith(b"\x89PNG"):
        parts, at = [], 8
        while at + 8 <= len(data):
            length = 12 + int.from_bytes(data[at : at + 4], "big")
            parts.append(data[at : at + length])
            at += length
        head = data[:8]
    else:
        parts = [data[at : at + 64] for at in range(0, len(data), 64)]
        head = b""
    if not parts:
        return data
    part = parts.pop(position % len(parts))
    if change:
        parts.insert(len(parts) if change == 2 else position % (len(parts) + 1), part)
    if change == 1:
        parts.append(part)
    return head + b"".join(parts)


def _places(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place]
    if isinstance(node, dict):
        found += [p for key in node for p in _places(node[key], (*place, key))]
    elif isinstance(node, list):
        found += [p for key in range(len(node)) for p in _places(node[key], (*place, key))]
    return found


def _changed(data: bytes, position: int, text: str | None) -> bytes:
    """Replaces a value of a JSON document by a text, or removes it."""
    try:
        document = json.loads(data)
        places = _places(document)
    except (ValueError, RecursionError):
        return data
    place = places[position % len(places)]
    if not place:
        return (text or "").encode()
    node = document
    for key in place[:-1]:
        node = node[key]
    if text is None:
        del node[place[-1]]
        return json.dumps(document).encode()
    node[place[-1]] = "@@hostile@@"
    return json.dumps(document).replace('"@@hostile@@"', text).encode("utf-8", "surrogatepass")


OPERATIONS = {
    "truncate": lambda data, position: data[: _at(data, position)],
    "flip": _flip,
    "set": _set,
    "insert": _insert,
    "remove": _remove,
    "zero": _zero,
    "copy": _copy,
    "claim": _claim,
    "chunk": _chunk,
    "value": lambda data, position, index: _changed(data, position, HOSTILE_JSON[index]),
    "entry": lambda data, *entry: data + json.dumps(entry).encode() + b"\n",
    "delete": lambda data, position: _changed(data, position, None),
}
