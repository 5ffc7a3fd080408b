"""Keys as names of files: a key may hold anything, and its file must stay in the folder and be one that disks take."""

import hashlib
import posixpath
import re

# What file systems take as one name, in bytes.
LONGEST_NAME = 255

_DIGEST_DIGITS = 12
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def as_name(part: str) -> str:
    """One part of a key as a name that stays in its folder and that a file system takes."""
    part = "_" if part in ("", ".", "..") else _CONTROL.sub("_", part)
    encoded = part.encode()
    if len(encoded) <= LONGEST_NAME:
        return part
    extension = posixpath.splitext(part)[1]
    end = f"~{hashlib.sha256(encoded).hexdigest()[:_DIGEST_DIGITS]}"
    end += extension if len(extension.encode()) <= 16 else ""
    return encoded[: LONGEST_NAME - len(end.encode())].decode(errors="ignore") + end
