"""A file system in memory, for what deals with paths that are not on a local disk."""

import io
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from od_core.storage import FileInfo


class Shelf:
    """A file system in memory, as RemoteFiles wants it."""

    def __init__(self, *paths: str) -> None:
        self.files = {path: path.encode() for path in paths}
        self.uploads: list[str] = []
        self.opened: list[str] = []
        self.swept: list[str] = []

    def stat(self, path: str) -> FileInfo | None:
        return FileInfo(path, len(self.files[path]), 7) if path in self.files else None

    def walk(self, folder: str) -> Iterator[FileInfo]:
        return (FileInfo(path, len(self.files[path]), 7) for path in list(self.files) if path.startswith(folder))

    def open(self, path: str) -> BinaryIO:
        self.opened.append(path)
        return io.BytesIO(self.files[path])

    def upload(self, local: pathlib.Path, path: str) -> None:
        self.files[path] = local.read_bytes()
        self.uploads.append(path)

    def remove(self, paths: list[str]) -> None:
        for path in paths:
            self.files.pop(path, None)

    def move(self, source: str, target: str) -> None:
        self.files[target] = self.files.pop(source)

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        raise NotImplementedError

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        raise NotImplementedError

    def remove_leftovers(self, folder: str) -> None:
        self.swept.append(folder)
