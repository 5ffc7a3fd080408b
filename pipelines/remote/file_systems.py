"""The file systems of a run that are not the local disk: which one serves a path, and what it needs installed."""

import importlib.util
import pathlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from od_core.errors import UsageError
from od_core.storage import FileInfo, RemoteFiles


class _Scheme(NamedTuple):
    """What a scheme needs: a module that must be there, and the command that brings it."""

    module: str
    install: str


_SCHEMES = {
    "s3": _Scheme("boto3", "pip install boto3"),
    "gs": _Scheme("google.cloud.storage", "pip install google-cloud-storage"),
    "hdfs": _Scheme("hdfs", "pip install hdfs"),
    "azfs": _Scheme("azure.storage.blob", "pip install 'apache-beam[azure]'"),
}


class FileSystems:
    """Serves every path with a scheme: s3, gs and hdfs by boxbeam itself, others by Apache Beam's FileSystems.

    Picklable; what is needed for a file system is imported when the first path asks for it.

    Args:
        options: the run's pipeline options, which say how to reach and enter the file systems.
    """

    def __init__(self, options: Sequence[str] = ()):
        self._options = tuple(options)
        self._opened: dict[str, RemoteFiles] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"_options": self._options, "_opened": {}}

    def check(self, path: str) -> None:
        """Refuse a path that cannot be served here, before anything heavy is imported.

        Raises:
            UsageError: nobody knows its scheme, or a package is missing; says which.
        """
        self._of(path)

    def _of(self, path: str) -> RemoteFiles:
        scheme = path.partition("://")[0].lower()
        if scheme not in self._opened:
            self._refuse_unknown(path, scheme)
            if scheme == "s3":
                from pipelines.remote.s3_files import S3Files

                self._opened[scheme] = S3Files(self._options)
            elif scheme == "gs":
                from pipelines.remote.gcs_files import GcsFiles

                self._opened[scheme] = GcsFiles(self._options)
            elif scheme == "hdfs":
                from pipelines.remote.hdfs_files import HdfsFiles

                self._opened[scheme] = HdfsFiles(self._options)
            else:
                from pipelines.remote.beam_files import BeamFiles

                self._opened[scheme] = BeamFiles(self._options)
        return self._opened[scheme]

    def _refuse_unknown(self, path: str, scheme: str) -> None:
        needed = _SCHEMES.get(scheme)
        if needed is not None and not _is_installed(needed.module):
            raise UsageError(f"{path}: {scheme}:// needs a package that is not installed: {needed.install}")
        brings_its_own = any(option.startswith("--beam_plugin") for option in self._options)
        if needed is None and not brings_its_own:
            known = ", ".join(f"{known}://" for known in _SCHEMES)
            raise UsageError(
                f"{path}: no file system of this kind is known: there are local paths, {known}, and what --beam_plugins"
                " adds to Apache Beam's"
            )

    def stat(self, path: str) -> FileInfo | None:
        """See storage.RemoteFiles, as for all that follow."""
        return self._of(path).stat(path)

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """See storage.RemoteFiles."""
        return self._of(folder).walk(folder)

    def open(self, path: str) -> BinaryIO:
        """See storage.RemoteFiles."""
        return self._of(path).open(path)

    def upload(self, local: pathlib.Path, path: str) -> None:
        """See storage.RemoteFiles."""
        self._of(path).upload(local, path)

    def move(self, source: str, target: str) -> None:
        """See storage.RemoteFiles."""
        self._of(target).move(source, target)

    def remove(self, paths: list[str]) -> None:
        """See storage.RemoteFiles."""
        by_scheme: dict[str, list[str]] = {}
        for path in paths:
            by_scheme.setdefault(path.partition("://")[0].lower(), []).append(path)
        for some in by_scheme.values():
            self._of(some[0]).remove(some)

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """See storage.RemoteFiles."""
        return self._of(path).read_versioned(path)

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        """See storage.RemoteFiles."""
        return self._of(path).replace(path, content, version)

    def remove_leftovers(self, folder: str) -> None:
        """See storage.RemoteFiles."""
        self._of(folder).remove_leftovers(folder)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False
