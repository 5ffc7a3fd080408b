"""Folders with one small file for every image, in the same folders and under the same names as the images."""

import itertools
import os
import pathlib
import posixpath
from collections.abc import Iterator

from od_core.file_names import as_name
from od_core.images import IMAGE_EXTENSIONS

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC


class ImageFiles:
    """Writes text files named like images: "a/b.jpg" gives "a/b.xml".

    Of two images that differ in their ending only, the one that comes later gets its whole name: "a/b.png.xml".

    Attributes:
        renamed: how many of these there were.
    """

    def __init__(self, folder: pathlib.Path, ending: str):
        self.renamed = 0
        self._folder = folder
        self._ending = ending
        self._here: tuple[str, str] | None = None  # the images' folder that was last written to, and the files'

    def write(self, image: str, text: str) -> None:
        """Write the file of an image, given by its name: a path, or anything else that a key can be."""
        parent, _, name = image.rpartition("/")
        folder = self._made(parent)
        content = text.encode()
        for attempt, candidate in enumerate(self._candidates(as_name(name))):
            try:
                descriptor = os.open(f"{folder}/{as_name(candidate + self._ending)}", _NEW, 0o666)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                file.write(content)
            self.renamed += attempt > 0
            return

    def _made(self, parent: str) -> str:
        if self._here is None or self._here[0] != parent:
            parts = [self._not_a_file(as_name(part)) for part in parent.split("/")] if parent else []
            folder = self._folder.joinpath(*parts)
            folder.mkdir(parents=True, exist_ok=True)
            self._here = parent, str(folder)
        return self._here[1]

    @staticmethod
    def _candidates(name: str) -> Iterator[str]:
        stem, extension = posixpath.splitext(name)
        if extension.lower() in IMAGE_EXTENSIONS:
            yield stem
        yield name
        yield from (f"{name}~{number}" for number in itertools.count(2))

    def _not_a_file(self, part: str) -> str:
        """A folder's name, which could be that of a file here: a video "a.xml", say, whose frames lie in it."""
        return f"{part}~" if part.endswith(self._ending) else part
