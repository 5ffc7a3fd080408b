"""Where an exported model's files are: what is at a path, and the digest of its bytes. Needs no TensorFlow."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from od_core.errors import ModelError

ModelFormat = Literal["frozen_graph", "saved_model"]

_SAVED_MODEL = "saved_model.pb"
_FROZEN_GRAPH = "frozen_inference_graph.pb"
_EXPORT = "export it as a SavedModel or frozen graph first (exporter_main_v2.py, or export_inference_graph.py for TF1)"
_INSTEAD = {
    ".h5": f"is a Keras weights file: {_EXPORT}, or use model.export(folder)",
    ".keras": f"is a Keras archive: {_EXPORT}, or use model.export(folder)",
    ".tflite": "is a TensorFlow Lite model, which boxbeam does not run: give the SavedModel it was converted from",
    ".onnx": "is an ONNX model, which boxbeam does not run: give the TensorFlow SavedModel it was converted from",
    ".ckpt": f"is a training checkpoint: {_EXPORT}",
    ".index": f"is part of a training checkpoint: {_EXPORT}",
    ".meta": f"is part of a training checkpoint: {_EXPORT}",
    ".pth": "is a PyTorch checkpoint, which boxbeam does not run: export the model as a TensorFlow SavedModel",
    ".pt": "is a PyTorch model, which boxbeam does not run: export the model as a TensorFlow SavedModel",
    ".pbtxt": "is a text file (a label map or a graph in text form): give the binary .pb or the SavedModel folder",
    ".config": "is a training configuration: give the exported model",
    ".gz": "is an archive: unpack it and give the folder",
    ".tgz": "is an archive: unpack it and give the folder",
    ".tar": "is an archive: unpack it and give the folder",
    ".zip": "is an archive: unpack it and give the folder",
}


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's bytes are.

    Attributes:
        path: the frozen graph's .pb file, or the SavedModel's folder.
        format: frozen_graph or saved_model.
    """

    path: str
    format: ModelFormat

    def digest(self) -> str:
        """SHA-256 in hex over the bytes that make the model, wherever it lies.

        For a frozen graph that of its file (what `sha256sum` prints). For a SavedModel over saved_model.pb and every
        file below variables/ and assets/, in order of their names: name, length and bytes of each.
        """
        digest = hashlib.sha256()
        if self.format == "frozen_graph":
            _hash_file(digest, Path(self.path))
            return digest.hexdigest()
        folder = Path(self.path)
        parts = [folder / _SAVED_MODEL, *_files_below(folder / "variables"), *_files_below(folder / "assets")]
        for name, part in sorted((part.relative_to(folder).as_posix(), part) for part in parts):
            digest.update(f"{name}\0{part.stat().st_size}\0".encode())
            _hash_file(digest, part)
        return digest.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _hash_file(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def find_model(path: str | os.PathLike[str]) -> ModelFiles:
    """The model at `path`: a .pb file, a SavedModel folder, its saved_model.pb, or the folder an export wrote.

    In an export folder saved_model/ is preferred to frozen_inference_graph.pb: it is the same graph with a signature.

    Raises:
        ModelError: there is nothing, or no exported TensorFlow model; says what was found and what to export.
    """
    name = os.fspath(path)
    place = Path(name)
    if "://" in name:
        raise ModelError(
            f"{name} is not on a local disk; models are read from there: copy it first and give its folder"
        )
    if name and place.is_dir():
        return _find_in_folder(place)
    if not name or not place.exists():
        raise ModelError(
            f"no model at {name!r}: expected a SavedModel folder, an export folder or a frozen graph (.pb)"
        )
    if place.name == _SAVED_MODEL:
        return ModelFiles(str(place.parent), "saved_model")
    if place.suffix.lower() == ".pb" and place.is_file():
        return ModelFiles(name, "frozen_graph")
    suffix = ".ckpt" if ".data-" in place.name or ".ckpt-" in place.name else place.suffix.lower()
    raise ModelError(
        f"{name} {_INSTEAD.get(suffix, 'is not a model that boxbeam can open')}. "
        "It opens SavedModel folders and frozen graphs (.pb)."
    )


def _find_in_folder(folder: Path) -> ModelFiles:
    for candidate in (folder, folder / "saved_model"):
        if (candidate / _SAVED_MODEL).is_file():
            return ModelFiles(str(candidate), "saved_model")
    if (folder / _FROZEN_GRAPH).is_file():
        return ModelFiles(str(folder / _FROZEN_GRAPH), "frozen_graph")
    found = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    advice = "Export the model first, or give the path of its SavedModel folder or .pb file."
    if nested := sorted(str(inner.parent) for inner in folder.glob(f"*/{_SAVED_MODEL}")):
        advice = f"Did you mean {listed(nested)}?"
    elif graphs := sorted(str(graph) for graph in folder.glob("*.pb")):
        advice = f"If this is a frozen graph, give the file itself: {listed(graphs)}."
    elif any(".ckpt" in name or name.startswith(("ckpt-", "checkpoint")) for name in found):
        advice = f"This looks like a training folder: {_EXPORT}."
    raise ModelError(
        f"no model in {folder}: expected {_SAVED_MODEL}, saved_model/{_SAVED_MODEL} or {_FROZEN_GRAPH}, "
        f"found {listed(found)}. {advice}"
    )


def listed(things: Sequence[object], limit: int = 12) -> str:
    """Things as a message names them, many cut short."""
    shown = ", ".join(str(thing) for thing in things[:limit])
    return shown + f" and {len(things) - limit} more" * (len(things) > limit) if things else "nothing"
