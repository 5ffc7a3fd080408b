"""Versions of objects on file systems that number none: the digest of their bytes."""

import hashlib

from od_core.storage import RemoteFiles


def digest_version(content: bytes) -> str:
    """The version of an object with this content."""
    return hashlib.sha256(content).hexdigest()


def read_by_digest(files: RemoteFiles, path: str) -> tuple[bytes, str] | None:
    """Content and version of an object, None where there is none; see storage.RemoteFiles.read_versioned."""
    if files.stat(path) is None:
        return None
    with files.open(path) as file:
        content = file.read()
    return content, digest_version(content)
