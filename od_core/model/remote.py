"""Models that are not on a local disk: found by their names, and copied to be opened: TensorFlow reads local files."""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from od_core import storage
from od_core.errors import ModelError, StorageError
from od_core.model.detector import find_model
from od_core.storage import FileInfo

_SAVED_MODEL = "saved_model.pb"
_FROZEN_GRAPH = "frozen_inference_graph.pb"
_CHUNK_BYTES = 4 << 20


@contextlib.contextmanager
def local_model(path: str, sha256: str | None = None) -> Iterator[str]:
    """The model at any path as one on the local disk, for as long as the block lasts: to open it, or to hash it.

    A local model is used where it lies. Of a remote SavedModel what belongs to it is copied. Errors about the copy name
    the model's own place.

    Args:
        path: as `od_core.model.files.find_model` takes it, local or remote.
        sha256: what `ModelFiles.digest` said of the model before; None where that is not known.

    Raises:
        ModelError: there is no model.
        StorageError: it cannot be read, there is no room for a copy, or it is another one than before.
    """
    if not storage.is_remote(path):
        try:
            yield path
        except ModelError:
            _refuse_replaced(path, path, sha256)  # which would be the reason
            raise
        # At the end, for bytes that change in between are those that may have been opened.
        _refuse_replaced(path, path, sha256)
        return
    place, is_folder = _find(path)
    with _copied(place, is_folder=is_folder) as copy:
        try:
            _refuse_replaced(copy, place, sha256)
            yield copy
        except ModelError as error:
            raise ModelError(str(error).replace(copy, place)) from error


def _refuse_replaced(model: str, place: str, sha256: str | None) -> None:
    """Refuse a local model, or the copy of one at `place`, that is not the one with this digest."""
    try:
        same = sha256 is None or find_model(model).digest() == sha256
    except (ModelError, OSError):
        same = False
    if not same:
        raise StorageError(
            f"{place}: the model was replaced or removed while the run went on, and detections of two models would not"
            " belong together: put the former one back and repeat the command, which continues, or start anew with"
            " --overwrite"
        )


def _find(path: str) -> tuple[str, bool]:
    """The path of the model at a remote path, and whether that is a SavedModel's folder: else it is a frozen graph.

    Raises:
        ModelError: there is none; says what was found.
    """
    place = path.rstrip("/")
    if storage.stat(place) is not None:
        folder, _, name = place.rpartition("/")
        if name == _SAVED_MODEL:
            return folder, True
        if name.lower().endswith(".pb"):
            return place, False
        raise ModelError(f"{path}: not a model: expected a SavedModel folder, an export folder or a frozen graph (.pb)")
    names = {info.path[len(place) + 1 :] for info in storage.walk(place)}
    for inner in ("", "saved_model/"):
        if f"{inner}{_SAVED_MODEL}" in names:
            return f"{place}/{inner}".rstrip("/"), True
    if _FROZEN_GRAPH in names:
        return f"{place}/{_FROZEN_GRAPH}", False
    found = ", ".join(sorted(names)[:12]) or "nothing"
    raise ModelError(
        f"no model at {path}: expected {_SAVED_MODEL}, saved_model/{_SAVED_MODEL} or {_FROZEN_GRAPH}, found {found}"
    )


@contextlib.contextmanager
def _copied(path: str, *, is_folder: bool) -> Iterator[str]:
    """A copy of a model's file, or of what belongs to a SavedModel in its folder."""
    with tempfile.TemporaryDirectory(prefix="boxbeam-model-") as scratch:
        target = pathlib.Path(scratch, path.rsplit("/", 1)[1])
        files = list(_files_of(path)) if is_folder else [(_info(path), "")]
        needed, free = sum(info.size for info, _ in files), shutil.disk_usage(scratch).free
        if free < needed:
            raise StorageError(
                f"{path}: a copy of the model needs {needed:,} bytes, and {scratch} has {free:,}; set TMPDIR to a"
                " larger disk"
            )
        for info, name in files:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                with storage.open_input(info.path) as source, place.open("wb") as copy:
                    shutil.copyfileobj(source, copy, _CHUNK_BYTES)
            except OSError as error:
                raise StorageError(f"{info.path}: the model cannot be copied ({error.strerror or error})") from error
        yield str(target)


def _info(path: str) -> FileInfo:
    info = storage.stat(path)
    if info is None:
        raise StorageError(f"{path}: the model is not there any more")
    return info


def _files_of(folder: str) -> Iterator[tuple[FileInfo, str]]:
    """The files of a SavedModel, each with its name in the folder."""
    for info in storage.walk(folder):
        name = info.path[len(folder.rstrip("/")) + 1 :]
        if name in (_SAVED_MODEL, "fingerprint.pb") or name.startswith(("variables/", "assets/")):
            yield info, name
