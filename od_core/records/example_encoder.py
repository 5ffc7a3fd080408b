"""Values to a serialized tf.train.Example, written byte by byte: several times faster than through protobuf.

The messages are those of tensorflow/core/example/{example,feature}.proto, the wire format that of protobuf
(protobuf.dev/programming-guides/encoding): every field of theirs is length-delimited, numbers are packed.
"""

import functools
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Value = bytes | bytearray | memoryview | str | int | float | np.generic
FeatureValue = Value | Sequence[Value] | npt.NDArray[Any]

_BYTES_LIKE = (bytes, bytearray, memoryview, str)
_TEXT, _WHOLE = {str}, {int, bool}
_FLOAT32 = np.dtype("<f4")

_NO_ASCII = b"\xff"

# Tags: the number of a field, times 8, plus 2 for "length-delimited".
_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"


def encode_example(features: Mapping[str, FeatureValue]) -> bytes:
    """A serialized tf.train.Example; equal features give equal bytes, whatever their order in the mapping.

    Args:
        features: values by feature key. Bytes and str (as UTF-8) make a bytes list, whole numbers and booleans an int64
            list, other numbers a float list; a sequence or a one-dimensional array of them makes a list of its length.
            An empty array keeps the kind of its dtype; TensorFlow reads an empty sequence as an absent feature.

    Raises:
        TypeError: a value of another type, or a sequence of mixed kinds; the message names the key.
        ValueError: a whole number beyond 64 bits.
    """
    parts: list[bytes] = [_FIELD_1, b""]
    for key in sorted(features):
        kind, content, is_value = _list_of(key, features[key])
        parts += (_before(key, kind, len(content), is_value), content)
    parts[1] = _varint(sum(map(len, parts)) - 1)
    return b"".join(parts)  # a large image is copied once, here


@functools.lru_cache(maxsize=1 << 14)
def _before(key: str, kind: bytes, length: int, is_value: bool) -> bytes:
    """All that goes before the content of a feature's list: lengths of what is in what, and the key.

    There are few of them: the same keys, with as many values, come again and again.
    """
    value_head = _FIELD_1 + _varint(length) if is_value else b""
    length += len(value_head)
    list_head = kind + _varint(length) if kind else b""
    length += len(list_head)
    feature_head = _FIELD_2 + _varint(length)
    name = key.encode()
    name = _FIELD_1 + _varint(len(name)) + name
    return _FIELD_1 + _varint(len(name) + len(feature_head) + length) + name + feature_head + list_head + value_head


def _list_of(key: str, value: FeatureValue) -> tuple[bytes, bytes, bool]:
    """A value's list: the tag of its kind, its content, and whether that is the content of the list's one field.

    All is empty for a sequence without values.
    """
    if isinstance(value, bytes):
        return _BYTES_LIST, value, True  # itself, not a copy
    if isinstance(value, str):
        return _BYTES_LIST, value.encode(), True
    if isinstance(value, int):
        return (_INT64_LIST, _varint(value), True) if 0 <= value < 1 << 63 else _int64_list([value])
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "biuf":
        return _float_list(value) if value.dtype.kind == "f" else _int64_list(value.tolist())
    # A list or a tuple is asked for first: whether something is a Sequence takes ten times as long.
    is_sequence = isinstance(value, list | tuple) or (
        isinstance(value, Sequence) and not isinstance(value, _BYTES_LIKE)
    )
    values: Any = value if is_sequence else [value]
    if not values:
        return b"", b"", False
    kinds = set(map(type, values))
    if kinds == _TEXT:
        return _BYTES_LIST, b"".join(map(_text_field, values)), False
    if kinds <= _WHOLE:
        return _int64_list(values)
    if all(issubclass(one, _BYTES_LIKE) for one in kinds):
        return _bytes_list(values)
    if all(issubclass(one, int | np.integer | np.bool_) for one in kinds):
        return _int64_list(list(map(int, values)))
    if all(issubclass(one, int | float | np.integer | np.floating) for one in kinds):
        return _float_list(np.array(values, np.float64))
    raise TypeError(
        f"{key}: a feature holds bytes, text, whole numbers or floats, all of one kind; got {type(value).__name__} of "
        f"{sorted(one.__name__ for one in kinds)}"
    )


def _bytes_list(values: Sequence[Any]) -> tuple[bytes, bytes, bool]:
    contents = [value.encode() if isinstance(value, str) else value for value in values]
    if len(contents) == 1:
        return _BYTES_LIST, bytes(contents[0]), True  # of bytes: itself, not a copy
    fields = [part for one in contents for part in (_FIELD_1, _varint(len(one)), one)]
    return _BYTES_LIST, b"".join(fields), False


@functools.lru_cache(maxsize=1 << 12)
def _text_field(text: str) -> bytes:
    """One text of a list: of names of classes there are few."""
    content = text.encode()
    return _FIELD_1 + _varint(len(content)) + content


def _float_list(values: npt.NDArray[Any]) -> tuple[bytes, bytes, bool]:
    if values.dtype != _FLOAT32:
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            values = values.astype(_FLOAT32)
    return _FLOAT_LIST, values.tobytes(), values.size > 0


def _int64_list(values: Sequence[Any]) -> tuple[bytes, bytes, bool]:
    try:
        content = bytes(values)
    except ValueError:  # one of them is no byte
        content = _NO_ASCII
    if content.isascii():
        return _INT64_LIST, content, bool(values)  # up to 7 bits each: its own varint
    try:
        # Negative ones are sent as if they were unsigned.
        unsigned = struct.unpack(f"={len(values)}Q", struct.pack(f"={len(values)}q", *values))
    except struct.error as error:
        raise ValueError(f"a whole number of a feature must fit 64 bits, got {min(values)} to {max(values)}") from error
    return _INT64_LIST, b"".join(map(_varint, unsigned)), True


def _varint(number: int) -> bytes:
    """A number of up to 64 bits, seven bits a byte, lowest first; the highest bit says that more follow."""
    if number < len(_SHORT_VARINTS):
        return _SHORT_VARINTS[number]
    made = bytearray()
    while number >= 1 << 7:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


_SHORT_VARINTS: list[bytes] = []
_SHORT_VARINTS += [_varint(number) for number in range(1 << 12)]
