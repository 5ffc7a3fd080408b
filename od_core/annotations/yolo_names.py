"""The classes of a YOLO data set, and where its images are: data.yaml, or a list of names.

path: .                         where the folders below are, from the file's own folder
train: images/train             a folder, a list of folders, or a .txt that lists images
val: images/val
names: [person, bicycle]        or {0: person, 1: bicycle}
kpt_shape: [17, 3]              only where labels carry keypoints
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from od_core import storage
from od_core.annotations.annotated import is_text
from od_core.errors import UsageError
from od_core.label_map import LabelMap, LabelMapItem

SPLITS = ("train", "val", "valid", "test")

_MAX_BYTES = 1 << 20
_EXPECTED = "expected the description of a YOLO data set with names: [cat, dog]"


class YoloData(NamedTuple):
    """What describes a data set.

    Attributes:
        names: of the classes by their numbers, from 0.
        path: the folder of `places`, as it is written; "" for that of the file.
        places: (split, folder of images or list) as they are written; empty: not told.
        keypoint_numbers: how many numbers about keypoints follow each box.
    """

    names: Mapping[int, str]
    path: str = ""
    places: tuple[tuple[str, str], ...] = ()
    keypoint_numbers: int = 0

    @property
    def label_map(self) -> LabelMap:
        """The classes; a label map counts from 1."""
        return LabelMap(tuple(LabelMapItem(number + 1, name) for number, name in self.names.items()))


def read_yolo_data(path: str) -> YoloData:
    """A data.yaml, or a list of names, a line each (classes.txt, obj.names).

    Raises:
        UsageError: it cannot be read, or says something else.
    """
    origin = storage.printable(path)
    try:
        with storage.open_input(path) as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{origin}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{origin}: not UTF-8 text ({error}); {_EXPECTED}") from error
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{origin}: larger than {_MAX_BYTES >> 20} MiB; {_EXPECTED}")
    if not is_yaml(path):
        lines = [line.strip() for line in text.rstrip().splitlines()]
        return YoloData(_names(origin, dict(enumerate(lines))))
    try:
        # The loader that makes nothing but text, lists and mappings: to others a class called "no" is False.
        fields = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise UsageError(f"{origin}: cannot be read as YAML ({why})") from error
    if not isinstance(fields, dict) or "names" not in fields:
        keys = [key[:40] for key in fields if isinstance(key, str)] if isinstance(fields, dict) else []
        found = f"it has {', '.join(keys[:8])}" if keys else "it has no fields"
        raise UsageError(f"{origin}: there are no names in it ({found}); {_EXPECTED}")
    root = fields.get("path", "")
    return YoloData(
        _names(origin, _numbered(origin, fields["names"])),
        root if isinstance(root, str) else "",
        tuple((split, place) for split in SPLITS for place in _texts(fields.get(split))),
        _keypoint_numbers(origin, fields.get("kpt_shape")),
    )


def is_yaml(path: str) -> bool:
    """Whether a file's name says that it is YAML."""
    return posixpath.splitext(path)[1].lower() in (".yaml", ".yml")


def _numbered(origin: str, names: object) -> dict[int, Any]:
    if isinstance(names, list):
        return dict(enumerate(names))
    if isinstance(names, dict) and all(isinstance(key, str) and key.isdecimal() and len(key) < 7 for key in names):
        return {int(key): name for key, name in names.items()}
    raise UsageError(f"{origin}: names is neither a list nor numbers with names; {_EXPECTED} or {{0: cat, 1: dog}}")


def _names(origin: str, names: Mapping[int, Any]) -> dict[int, str]:
    if not names:
        raise UsageError(f"{origin}: there is not one name in it; {_EXPECTED}")
    first: dict[str, int] = {}
    for number, name in names.items():
        if not isinstance(name, str) or not name or not is_text(name) or "\0" in name:
            raise UsageError(f"{origin}: the name of class {number} is {_shown(name)}; {_EXPECTED}")
        if first.setdefault(name, number) != number:
            raise UsageError(
                f"{origin}: the classes {first[name]} and {number} are both called {name!r}; classes are told apart by"
                " their names: rename one"
            )
    return dict(names)


def _texts(value: object) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text.strip()]


def _keypoint_numbers(origin: str, shape: object) -> int:
    if shape is None:
        return 0
    numbers = shape if isinstance(shape, list) else []
    if len(numbers) != 2 or not all(isinstance(one, str) and one.isdecimal() and len(one) < 5 for one in numbers):
        raise UsageError(f"{origin}: kpt_shape is {_shown(shape)}, expected two numbers such as [17, 3]")
    return int(numbers[0]) * int(numbers[1])


def _shown(value: object) -> str:
    """A value for a message; never all of a list, which aliases can make endless."""
    return repr(value[:40]) if isinstance(value, str) else f"a {type(value).__name__}"
