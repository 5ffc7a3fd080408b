"""The folder into which a training loop exports its model again and again: which exports are there, in which order.

An export is a folder or a .pb file with a number in its name, the last of which is its step: export_1200/, 1200/,
model-1200.pb. Names that begin with "." or "_" or "temp-", or end with ".tmp", are still being made.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from od_core.errors import ModelError
from od_core.model.detector import find_model

_NUMBER = re.compile(r"\d+")
_IN_THE_MAKING = re.compile(r"^[._]|^temp-|\.tmp$|\.part$", re.IGNORECASE)
_CHECKPOINT = re.compile(r"^(?:model\.)?ckpt-?(\d+)\.index$")
_MAX_STEP = 2**63 - 1


class Export(NamedTuple):
    """One export as it lies there.

    Attributes:
        step: of training.
        name: in its folder.
        path: of the folder or file.
        fingerprint: changes with the names, sizes and times of its files.
        exported_s: when its newest file was written, in seconds since 1970.
        has_model: whether what `od_core.model.files.find_model` looks for is there; it is what exporters write last.
    """

    step: int
    name: str
    path: str
    fingerprint: str
    exported_s: float
    has_model: bool


class Listing(NamedTuple):
    """What is in an export folder.

    Attributes:
        exports: in order of step, then name.
        checkpoints: names of training checkpoints, which are weights without a model.
    """

    exports: list[Export]
    checkpoints: list[str]


def step_of(name: str) -> int | None:
    """The step in an export's name, or None if it has none, or is still being made."""
    if _IN_THE_MAKING.search(name):
        return None
    numbers = _NUMBER.findall(name)
    step = int(numbers[-1]) if numbers else None
    return step if step is not None and step <= _MAX_STEP else None


def list_exports(folder: str) -> Listing:
    """What is in a local folder now. Exports that vanish while it is read are left out.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: the folder itself cannot be read.
    """
    exports, checkpoints = [], []
    for name in sorted(os.listdir(folder)):
        if _CHECKPOINT.match(name):
            checkpoints.append(name.removesuffix(".index"))
            continue
        path = os.path.join(folder, name)
        step = step_of(name)
        if step is not None and (name.lower().endswith(".pb") or os.path.isdir(path)):
            try:
                exports.append(_export(step, name, path))
            except FileNotFoundError:
                continue
    return Listing(sorted(exports), checkpoints)


def _export(step: int, name: str, path: str) -> Export:
    digest = hashlib.sha256()
    times = []
    for file in _files(path):
        try:
            status = file.stat()
        except FileNotFoundError:  # a temporary one of whoever is writing here: the export itself is not gone
            continue
        times.append(status.st_mtime_ns)
        digest.update(f"{file.relative_to(path).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    newest = max(times) if times else os.stat(path).st_mtime_ns
    try:
        find_model(path)
        has_model = True
    except ModelError:
        has_model = False
    return Export(step, name, path, digest.hexdigest()[:32], newest / 1e9, has_model)


def _files(path: str) -> list[Path]:
    """The file itself, or all files in a folder; those of folders that vanish meanwhile are left out."""
    if os.path.isfile(path):
        return [Path(path)]
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sorted(file for file in files if file.is_file())


def keep(export: Export, folder: str) -> str:
    """Give an export a second name in another folder, where it stays whatever becomes of the first.

    Files are linked, which takes no room and no time, or copied where file systems differ.

    Args:
        export: a complete one.
        folder: where to; made if need be.

    Returns:
        The path there.

    Raises:
        FileNotFoundError: the export was deleted meanwhile; nothing is left of it here either.
    """
    return keep_files(export.name, folder, {str(file.relative_to(export.path)): file for file in _files(export.path)})


def keep_files(name: str, folder: str, files: Mapping[str, Path], notes: Mapping[str, str] | None = None) -> str:
    """Give files a second name in a folder of that name, or one file as it is; it appears whole or not at all.

    Args:
        name: of the export.
        folder: where to; made if need be.
        files: path within the export -> file; "." for an export that is one file.
        notes: path within the export -> the text of a further file.

    Returns:
        The path there.

    Raises:
        FileNotFoundError: there are no files, or they were deleted meanwhile.
    """
    os.makedirs(folder, exist_ok=True)
    target, unfinished = os.path.join(folder, name), os.path.join(folder, f".{name}.tmp")
    remove(unfinished)
    try:
        if not files:
            raise FileNotFoundError(f"{name} is gone, or empty")
        for inner, file in files.items():
            place = Path(unfinished, inner)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(file, place)
        for inner, text in (notes or {}).items():
            Path(unfinished, inner).write_text(text, encoding="utf-8")
    except OSError:
        remove(unfinished)
        raise
    remove(target)
    os.rename(unfinished, target)
    return target


def remove(path: str) -> None:
    """Delete an export that was kept; one that is gone is fine."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        Path(path).unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
