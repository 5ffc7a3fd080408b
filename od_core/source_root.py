"""Where originals lie that were moved since they were looked at."""

import dataclasses
import os
import re
import unicodedata
from collections.abc import Sequence

from od_core import storage
from od_core.annotations.annotated import no_such_path
from od_core.errors import StorageError, UsageError
from od_core.storage import FileInfo

_NEW_BEGINS = re.compile(r"=(?=/|\w+://|\.)")
_ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


@dataclasses.dataclass(frozen=True)
class SourceRoot:
    """Maps what detections say of an original to where it lies now.

    Attributes:
        folder: in which originals lie by their keys; None: where the detections say.
        moved: instead, folders that have another path now: (as the detections say, as it is now).
    """

    folder: str | None = None
    moved: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "SourceRoot":
        """The values of --source_root: one FOLDER, or any number of OLD=NEW.

        Raises:
            UsageError: neither, or both.
        """
        pairs = [_pair(text) for text in texts]
        moved = tuple(pair for pair in pairs if pair is not None)
        if len(moved) < len(texts):
            if len(texts) > 1:
                raise UsageError(
                    f"--source_root takes one FOLDER, or several OLD=NEW, got {' '.join(texts)}; give OLD=NEW for each"
                    " folder that was infer's --input"
                )
            return cls(texts[0])
        olds = [old for old, _ in moved]
        twice = next((old for old in olds if olds.count(old) > 1), None)
        if twice is not None:
            raise UsageError(f"--source_root names {twice} twice")
        return cls(None, tuple(sorted(moved, reverse=True)))  # the innermost first

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that are to be there now."""
        return (*([] if self.folder is None else [self.folder]), *(new for _, new in self.moved))

    def check(self) -> None:
        """Refuse a folder that is not there.

        Raises:
            UsageError: names it.
        """
        for folder in self.folders:
            if storage.is_folder(folder):
                continue
            if storage.stat(folder) is None:
                raise no_such_path(folder)
            raise UsageError(f"{folder}: a file; --source_root is the folder in which the originals lie")

    def refuse_useless(self, sources: Sequence[str]) -> None:
        """Refuse an OLD that none of these originals (as the detections say) lay in.

        Raises:
            UsageError: names it, and where one of them lay.
        """
        for old, _ in self.moved:
            if sources and not any(source.startswith(f"{old}/") for source in sources):
                raise UsageError(
                    f"--source_root {old}=...: no original lay in it when the detections were made; the first one was"
                    f" {sources[0]}"
                )

    def place(self, key: str, source: str | None) -> str | None:
        """Where an original is to be looked for; None where the detections do not say."""
        if self.folder is not None:
            return storage.join(self.folder, key)
        for old, new in self.moved:
            if source is not None and source.startswith(f"{old}/"):
                return storage.join(new, source.removeprefix(f"{old}/"))
        return source


NOT_MOVED = SourceRoot()


def look_for(place: str | None) -> FileInfo | None:
    """A file under a name, or under one that is written like it in detections: NFC, bytes that are no UTF-8.

    One that is there, but cannot be looked at, has the size and the time 0.
    """
    if place is None:
        return None
    for name in dict.fromkeys((place, unicodedata.normalize("NFD", place), _ESCAPED_BYTE.sub(_unescaped, place))):
        try:
            info = storage.stat(name)
        except StorageError:  # it will fail, with the reason
            return FileInfo(name, 0, 0)
        if info is not None:
            return info
    return None


def _unescaped(match: re.Match[str]) -> str:
    return bytes([int(match[1], 16)]).decode("utf-8", "surrogateescape")


def _pair(text: str) -> tuple[str, str] | None:
    """OLD and NEW; None for a folder."""
    if "=" not in text or os.path.isdir(text):
        return None
    found = _NEW_BEGINS.search(text)
    at = found.start() if found else text.index("=")
    old, new = text[:at].rstrip("/"), text[at + 1 :]
    if not old or not new:
        raise UsageError(f"--source_root {text}: expected OLD=NEW, two folders")
    if not old.startswith("/") and "://" not in old:
        raise UsageError(
            f"--source_root {text}: {old} must be a whole path, as the detections have it in their column source"
        )
    return old, new
