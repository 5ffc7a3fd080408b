"""An object store in memory, for tests: paths under mem://."""

import io
import pathlib
import threading
from collections.abc import Iterator
from typing import BinaryIO

from od_core.storage import FileInfo


class MemoryFiles:
    """RemoteFiles; `log` is what was done to it, in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.versions: dict[str, int] = {}
        self._one_at_a_time = threading.Lock()

    def stat(self, path: str) -> FileInfo | None:
        return FileInfo(path, len(self.files[path]), 0) if path in self.files else None

    def walk(self, folder: str) -> Iterator[FileInfo]:
        below = f"{folder.rstrip('/')}/"
        return iter([FileInfo(path, len(self.files[path]), 0) for path in sorted(self.files) if path.startswith(below)])

    def open(self, path: str) -> BinaryIO:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return io.BytesIO(self.files[path])

    def upload(self, local: pathlib.Path, path: str) -> None:
        self.files[path] = local.read_bytes()
        self.log.append(("upload", path))

    def move(self, source: str, target: str) -> None:
        self.files[target] = self.files.pop(source)

    def remove(self, paths: list[str]) -> None:
        for path in paths:
            self.files.pop(path, None)
            self.log.append(("remove", path))

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        return (self.files[path], str(self.versions[path])) if path in self.files else None

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        with self._one_at_a_time:
            if version != (str(self.versions[path]) if path in self.files else None):
                return None
            self.files[path] = content
            self.versions[path] = self.versions.get(path, 0) + 1
            return str(self.versions[path])

    def remove_leftovers(self, folder: str) -> None:
        """There are none."""
