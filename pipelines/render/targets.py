"""Where a rendering may write: never over an original, nor over what it did not make itself."""

import itertools
import posixpath
from collections.abc import Iterable, Mapping, Sequence

from od_core import storage
from od_core.errors import UsageError
from pipelines.dataset import MANIFEST, RUN_REPORT, Dataset
from pipelines.items import Ask


def refuse_output_in_detections(ask: Ask) -> None:
    """Refuse an output in the detections.

    Raises:
        UsageError: it is.
    """
    detections, output = storage.real_path(ask.inputs[0]), storage.real_path(ask.output)
    if f"{output}/".startswith(f"{detections}/"):
        raise UsageError(f"{ask.output}: lies in the detections, which are not to be changed; choose another --output")


def refuse_equal_names(names: Sequence[str], keys: Sequence[str]) -> None:
    """Refuse two inputs under one name, or one as a folder of the other: keys of several --input folders can be so.

    Args:
        names: of the pictures.
        keys: of their originals, in the same order.

    Raises:
        UsageError: names both.
    """
    owners: dict[str, str] = {}
    for name, key in zip(names, keys, strict=True):
        other = owners.setdefault(name, key)
        if other != key:
            raise _equal_names(key, other)
    for name, key in owners.items():
        folder = posixpath.dirname(name)
        while folder:
            if folder in owners:
                raise _equal_names(key, owners[folder])
            folder = posixpath.dirname(folder)


def refuse_foreign_files(output: str, places: Mapping[str, str]) -> None:
    """Refuse to replace an original, or in a new output anything at all.

    Args:
        output: the output folder.
        places: name of a picture in it -> where its original lies.

    Raises:
        UsageError: names a file that would be replaced.
    """
    root = storage.real_path(output)
    folders: dict[str, str] = {}
    for name, place in places.items():
        folder, original = posixpath.split(place)
        if folder not in folders:
            folders[folder] = storage.real_path(folder) if folder else ""
        if f"{folders[folder]}/{original}" == f"{root}/{name}":
            raise UsageError(
                f"{output}: there lie the originals, such as {place}, which rendering would replace;"
                " choose another --output"
            )
    for name in _files_of_others(output):
        ancestors = itertools.accumulate(name.split("/"), posixpath.join)
        if any(ancestor in places for ancestor in ancestors):
            raise UsageError(
                f"{output}: is not empty, and rendering would replace {name}, which it did not make; choose another"
                " --output"
            )


def refuse_full_output(output: str) -> None:
    """Refuse a new output that is not empty.

    Raises:
        UsageError: names a file in it.
    """
    for name in _files_of_others(output):
        if name != RUN_REPORT:
            raise UsageError(
                f"{output}: is not empty, there is {name}; --crops needs a folder of its own: choose another --output"
            )


def _files_of_others(output: str) -> Iterable[str]:
    """The files in an output of which nothing says that it is ours, relative to it."""
    dataset = Dataset(output)
    is_ours = dataset.options_at_work() is not None or storage.stat(storage.join(output, MANIFEST)) is not None
    if is_ours or not storage.is_folder(output):
        return
    prefix = output.rstrip("/") + "/"
    for info in storage.walk(output):
        yield info.path.removeprefix(prefix)


def _equal_names(*keys: str) -> UsageError:
    first, second = sorted(keys)
    return UsageError(
        f"the pictures of {first!r} and {second!r} would need one name; infer them into two outputs, and render those"
    )
