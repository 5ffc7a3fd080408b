"""Label maps: which class id stands for which name, in the text format of the TF Object Detection API.

    item { id: 1 name: "/m/01g317" display_name: "person" }
    item { id: 2 name: "/m/0199g" display_name: "bicycle" }

The format is protobuf text of the message `StringIntLabelMap`, object_detection/protos/string_int_label_map.proto in
tensorflow/models. Protobuf's own text parser reads it, over a descriptor in a pool of our own: no TensorFlow is needed,
and none that is loaded can clash with it.

What the API takes in silence and then gets wrong (a missing or repeated id or name, an empty file) is an error here.
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from od_core import storage
from od_core.closest_name import did_you_mean
from od_core.errors import LabelMapError

FREQUENCIES = ("UNSPECIFIED", "FREQUENT", "COMMON", "RARE")
BACKGROUND = "background"

_HOW_TO_WRITE = 'Every class is written as: item { id: 1 name: "cat" }'


class Keypoint(NamedTuple):
    """One named point of a class; ids are unique within the class."""

    id: int
    label: str


@dataclasses.dataclass(frozen=True)
class LabelMapItem:
    """One class of a label map.

    Attributes:
        id: counted from 1; 0 only for the background.
        name: what records carry in image/object/class/text; often a code, such as Open Images' "/m/01g317".
        display_name: what people are shown; "" where the name serves for both.
        keypoints: the class's named points.
        ancestor_ids, descendant_ids: ids of wider and narrower classes.
        frequency: one of `FREQUENCIES` (LVIS), or None where the file does not say.
        instance_count: number of training instances (LVIS), or None.
    """

    id: int
    name: str
    display_name: str = ""
    keypoints: tuple[Keypoint, ...] = ()
    ancestor_ids: tuple[int, ...] = ()
    descendant_ids: tuple[int, ...] = ()
    frequency: str | None = None
    instance_count: int | None = None

    @property
    def label(self) -> str:
        """The name for people: `display_name`, or `name` where that is empty."""
        return self.display_name or self.name


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """The classes of a detector, in the order of their file.

    Raises:
        LabelMapError: no items, an id or a name that is missing or repeated, a negative id, an id 0 that is not the
            background, or a keypoint id that is repeated within its class.
    """

    items: tuple[LabelMapItem, ...]

    def __post_init__(self) -> None:
        for index, fault in _faults(self.items):
            raise LabelMapError(f"label map, item {index + 1}: {fault}. {_HOW_TO_WRITE}")

    @classmethod
    def of_names(cls, names: Iterable[str]) -> "LabelMap":
        """The label map that numbers `names` from 1 in the order given."""
        return cls(tuple(LabelMapItem(id, name) for id, name in enumerate(names, 1)))

    @functools.cached_property
    def labels(self) -> Mapping[int, str]:
        """The name for people of every id, without the background; the API's create_categories_from_labelmap().

        There `display_name: ""` shows as an empty name; here it counts as absent.
        """
        return {item.id: item.label for item in self.items if item.id != 0}

    @functools.cached_property
    def names(self) -> Mapping[int, str]:
        """The `name` of every id, background included; the API's get_label_map_dict(), turned round."""
        return {item.id: item.name for item in self.items}

    def id_of(self, name: str) -> int | None:
        """The id of the class with this `name`, else with this `display_name` if only one has it, else None.

        The API looks in both places too, but answers with the larger of two ids, and with -1 for "not found".
        """
        return self._ids.get(name)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        by_display_name: dict[str, list[int]] = {}
        for item in self.items:
            if item.display_name:
                by_display_name.setdefault(item.display_name, []).append(item.id)
        unique = {name: ids[0] for name, ids in by_display_name.items() if len(ids) == 1}
        return unique | {item.name: item.id for item in self.items}

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what the map says: comments, layout and the order of items do not change it."""
        meaning = [
            dataclasses.astuple(
                dataclasses.replace(
                    item,
                    display_name=item.label,
                    keypoints=tuple(sorted(item.keypoints)),
                    ancestor_ids=tuple(sorted(item.ancestor_ids)),
                    descendant_ids=tuple(sorted(item.descendant_ids)),
                )
            )
            for item in sorted(self.items, key=lambda item: item.id)
        ]
        return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).hexdigest()

    def to_text(self) -> str:
        """The label map in its file format, UTF-8 not escaped; `parse_label_map` gives an equal one back."""
        message = _Message()
        for item in self.items:
            entry = message.item.add(name=item.name, id=item.id)
            if item.display_name:
                entry.display_name = item.display_name
            for keypoint in item.keypoints:
                entry.keypoints.add(id=keypoint.id, label=keypoint.label)
            entry.ancestor_ids.extend(item.ancestor_ids)
            entry.descendant_ids.extend(item.descendant_ids)
            if item.frequency is not None:
                entry.frequency = FREQUENCIES.index(item.frequency)
            if item.instance_count is not None:
                entry.instance_count = item.instance_count
        return str(text_format.MessageToString(message, as_utf8=True))


def read_label_map(path: str | os.PathLike[str]) -> LabelMap:
    """The label map in a file, on any file system that `od_core.storage` reaches.

    Raises:
        LabelMapError: no such file, or what `parse_label_map` raises.
    """
    origin = storage.printable(os.fspath(path))
    try:
        text = storage.read_bytes(os.fspath(path))
    except OSError as error:
        raise LabelMapError(f"{origin}: cannot read the label map: {error.strerror or error}") from error
    return parse_label_map(text, origin)


def parse_label_map(text: str | bytes, origin: str) -> LabelMap:
    r"""The label map written in `text`.

    Read as the API reads it, but for string escapes that protobuf learned since: today's parser turns \u0301 into the
    character, the one the API was published with kept the six characters as they stand.

    Args:
        text: the file's content; bytes are taken for UTF-8, with or without a byte order mark.
        origin: the file's name, for messages.

    Raises:
        LabelMapError: not a label map, or one that does not make sense: with origin, line, and what to write instead.
    """
    if isinstance(text, bytes):
        text = _decoded(text, origin)
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise LabelMapError(_binary(origin))
    message = _Message()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise LabelMapError(f"{origin}:{error.GetLine() or 1}: {_syntax_fault(error, text)}. {_HOW_TO_WRITE}") from None
    items = tuple(_item_of(entry) for entry in message.item)
    faults = list(_faults(items, has_id=[entry.HasField("id") for entry in message.item]))
    if faults:
        lines = _item_lines(text) or [1]
        index, fault = faults[0]
        others = list(dict.fromkeys(str(lines[other]) for other, _ in faults if other != index))
        more = f". Problems also in line {', '.join(others[:5])}{', ...' * (len(others) > 5)}" if others else ""
        raise LabelMapError(f"{origin}:{lines[index]}: {fault}{more}. {_HOW_TO_WRITE}")
    return LabelMap(items)


def _item_of(entry: Any) -> LabelMapItem:
    return LabelMapItem(
        id=entry.id,
        name=entry.name,
        display_name=entry.display_name,
        keypoints=tuple(Keypoint(keypoint.id, keypoint.label) for keypoint in entry.keypoints),
        ancestor_ids=tuple(entry.ancestor_ids),
        descendant_ids=tuple(entry.descendant_ids),
        frequency=FREQUENCIES[entry.frequency] if entry.HasField("frequency") else None,
        instance_count=entry.instance_count if entry.HasField("instance_count") else None,
    )


def _faults(items: Sequence[LabelMapItem], has_id: Sequence[bool] = ()) -> Iterator[tuple[int, str]]:
    """What is wrong with the items: pairs of the item's index and half a sentence."""
    if not items:
        yield 0, "the label map is empty: a detector needs at least one class"
    by_id: dict[int, str] = {}
    by_name: dict[str, int] = {}
    for index, item in enumerate(items):
        who = _quoted(item.label) if item.label else f"the item with id {item.id}"
        if item.id < 0:
            yield index, f"{who} has the id {item.id}: ids are counted from 1"
        elif item.id == 0 and BACKGROUND not in (item.name, item.display_name):
            found = "the id 0, which means background" if not has_id or has_id[index] else "no id"
            yield index, f"{who} has {found}: give it one of its own, counted from 1"
        elif item.id in by_id:
            yield index, f"{who} has the id {item.id}, which {by_id[item.id]} has already: every class needs its own"
        if not item.name:
            yield index, f"{who} has no name: write it as name: {_quoted(item.display_name or 'cat')}"
        elif item.name in by_name:
            yield index, f"the name {_quoted(item.name)} stands for both id {by_name[item.name]} and id {item.id}"
        keypoint_ids = [keypoint.id for keypoint in item.keypoints]
        if len(set(keypoint_ids)) < len(keypoint_ids):
            repeated = next(id for id in keypoint_ids if keypoint_ids.count(id) > 1)
            yield index, f"{who} has two keypoints with the id {repeated}: every keypoint of a class needs its own"
        by_id.setdefault(item.id, who)
        by_name.setdefault(item.name, item.id)


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _item_lines(text: str) -> list[int]:
    """The line (from 1) where each item of a label map that protobuf could parse opens its brace."""
    lines = []
    depth = 0
    # Strings and comments are matched only so that a brace in them does not count.
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|' r"'(?:\\.|[^'\\])*'|#[^\n]*|[{}<>]", text):
        if token[0] in "{<":
            if depth == 0:
                lines.append(text.count("\n", 0, token.start()) + 1)
            depth += 1
        elif token[0] in "}>":
            depth -= 1
    return lines


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise LabelMapError(f"{origin}: the label map is saved as UTF-16; save it as UTF-8") from error
        if b"\0" in content:
            raise LabelMapError(_binary(origin)) from error
        line = content.count(b"\n", 0, error.start) + 1
        raise LabelMapError(
            f"{origin}:{line}: byte 0x{content[error.start]:02x} is not UTF-8 text; the file was probably saved in "
            "another encoding, such as Windows-1252 or Latin-1: save it as UTF-8"
        ) from error


def _binary(origin: str) -> str:
    return f"{origin}: a binary file, where a label map is a text file, usually named label_map.pbtxt. {_HOW_TO_WRITE}"


def _syntax_fault(error: text_format.ParseError, text: str) -> str:
    """Why protobuf's parser refused the text, as half a sentence for a person."""
    said = re.sub(r"^\d+:\d+ : ", "", str(error)).rstrip(".")
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return "this is JSON, where a label map is protobuf text"
    if re.search(r"^\s*- |^\s*(names|nc)\s*:|^\s*\d+\s*:", text, re.MULTILINE):
        return f"this looks like YAML, where a label map is protobuf text ({said})"
    if names := _plain_names(text):
        written = " ".join(f"item {{ id: {id} name: {_quoted(name)} }}" for id, name in enumerate(names[:2], 1))
        return f"this is a plain list of names; write it as {written} and so on, with the ids the model was trained on"
    unknown = re.search(r'Message type "[\w.]*?(\w+)" has no field named "([^"]*)"', said)
    if unknown is None:
        return f"not a label map: {said}"
    message, field = unknown.groups()
    known = list(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{message}").fields_by_name)
    if field == "item":
        return "a new item starts inside another: the } of the item before is missing"
    if field in {item_field.name for item_field in dataclasses.fields(LabelMapItem)} - set(known):
        return f"{field} stands outside an item: put it between item {{ and }}"
    advice = did_you_mean(field, known, otherwise=f"known here: {', '.join(known)}", lead="")
    return f'there is no field "{field}" ({advice})'


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _plain_names(text: str) -> list[str]:
    """The lines of a text that is nothing but names, each once; [] where it tries to be something else."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [] if any(re.search(r"[{}<>:]", line) for line in lines) else list(dict.fromkeys(lines))


_PACKAGE = "object_detection.protos"
_FILE = text_format.Parse(
    """
    name: "object_detection/protos/string_int_label_map.proto" package: "object_detection.protos" syntax: "proto2"
    enum_type { name: "LVISFrequency"
      value { name: "UNSPECIFIED" number: 0 } value { name: "FREQUENT" number: 1 }
      value { name: "COMMON" number: 2 } value { name: "RARE" number: 3 } }
    message_type { name: "KeypointMap"
      field { name: "id" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
      field { name: "label" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
    message_type { name: "StringIntLabelMapItem"
      field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "id" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
      field { name: "display_name" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "keypoints" number: 4 type: TYPE_MESSAGE type_name: "KeypointMap" label: LABEL_REPEATED }
      field { name: "ancestor_ids" number: 5 type: TYPE_INT32 label: LABEL_REPEATED }
      field { name: "descendant_ids" number: 6 type: TYPE_INT32 label: LABEL_REPEATED }
      field { name: "frequency" number: 7 type: TYPE_ENUM type_name: "LVISFrequency" label: LABEL_OPTIONAL }
      field { name: "instance_count" number: 8 type: TYPE_INT32 label: LABEL_OPTIONAL } }
    message_type { name: "StringIntLabelMap"
      field { name: "item" number: 1 type: TYPE_MESSAGE type_name: "StringIntLabelMapItem" label: LABEL_REPEATED } }
    """,
    descriptor_pb2.FileDescriptorProto(),
)
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_FILE)
_Message: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.StringIntLabelMap"))
