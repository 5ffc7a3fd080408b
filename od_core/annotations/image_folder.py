"""The images that annotations speak of, found in their folder."""

import collections
import functools
import posixpath
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from od_core import storage
from od_core.closest_name import closest_name
from od_core.errors import AnnotationError
from od_core.images import IMAGE_EXTENSIONS
from od_core.storage import FileInfo

# Comparing one name with so many takes milliseconds, and every name may be missing.
_NAMES_COMPARED = 1000


class FoundImage(NamedTuple):
    """An image file, and its path below the folder with `/` and in Unicode NFC: its key."""

    key: str
    file: FileInfo


class LinkedAwayError(AnnotationError):
    """An image is a link, or lies in a linked folder, that leads to where nothing may be read."""


class ImageFolder:
    """The image files below a folder, listed once. Memory: about 300 bytes an image."""

    def __init__(self, folder: str, links_within: Sequence[str] | None = None):
        """List it.

        Args:
            folder: local or remote.
            links_within: symbolic links are followed into these folders, beside their own; None: wherever they lead.
        """
        self.folder = folder
        self._links_within = None if links_within is None else [*map(storage.real_path, (folder, *links_within))]
        prefix = folder.rstrip("/") + "/"
        self._files: dict[str, FileInfo] = {}
        self._twins: dict[str, tuple[str, str]] = {}  # paths of which only one can have the key
        for info in storage.walk(folder):
            if posixpath.splitext(info.path)[1].lower() in IMAGE_EXTENSIONS:
                relative = info.path[len(prefix) :] if info.path.startswith(prefix) else info.path
                key = unicodedata.normalize("NFC", storage.printable(relative))
                if self._files.setdefault(key, info) != info:
                    self._twins[key] = (self._files[key].path[len(prefix) :], relative)
        self._by_name: dict[str, list[str]] = collections.defaultdict(list)
        for key in sorted(self._files):
            self._by_name[posixpath.basename(key)].append(key)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[str]:
        """The keys of all images."""
        return iter(self._files)

    def find(self, name: str) -> FoundImage:
        """The image of this name: that path, else the only one that ends like it, in whole folders.

        Raises:
            LinkedAwayError: see `links_within`.
            AnnotationError: there is none, or several could be meant.
        """
        found = self._find(name)
        if found.key in self._twins:
            twins = " and ".join(sorted(map(ascii, self._twins[found.key])))
            raise AnnotationError(
                f"two images in {storage.printable(self.folder)} are called {found.key}, written with other characters:"
                f" {twins}; rename one"
            )
        if found.file.through_link and self._links_within is not None:
            place = storage.real_path(found.file.path)
            if not any(storage.lies_in(place, folder) for folder in self._links_within):
                raise LinkedAwayError(
                    f"the image {found.key} in {storage.printable(self.folder)} is a link out of it, to"
                    f" {storage.printable(place)}; where links are to be followed, say --follow_links"
                )
        return found

    def _find(self, name: str) -> FoundImage:
        if name in self._files:
            return FoundImage(name, self._files[name])
        similar = self._by_name.get(posixpath.basename(name), [])
        matching = [key for key in similar if f"/{name}".endswith(f"/{key}") or f"/{key}".endswith(f"/{name}")]
        if len(matching) == 1:
            return FoundImage(matching[0], self._files[matching[0]])
        if matching:
            raise AnnotationError(
                f"the image {name} could be {matching[0]} or {matching[1]} in {storage.printable(self.folder)};"
                " name it with its folder"
            )
        raise AnnotationError(
            f"there is no image {name} in {storage.printable(self.folder)}{self._suggestion(name, similar)}"
        )

    def _suggestion(self, name: str, same_name: list[str]) -> str:
        if same_name:
            return f" (but there is {same_name[0]})"
        stem = posixpath.splitext(name)[0]
        others = (stem + extension for extension in sorted(IMAGE_EXTENSIONS))
        other = next((key for key in others if key in self._files), None)
        if other is None:
            similar = self._by_digits.get(_digits(name), [])
            if len(similar) <= _NAMES_COMPARED:
                other = closest_name(name, similar, cutoff=0.85)
        return f" (but there is {other})" if other else ""

    @functools.cached_property
    def _by_digits(self) -> dict[str, list[str]]:
        """Keys by the digits in them: 0017.jpg is no misspelt 0016.jpg."""
        found = collections.defaultdict(list)
        for key in sorted(self._files):
            found[_digits(key)].append(key)
        return found


def _digits(name: str) -> str:
    return "".join(char for char in name if char.isdecimal())
