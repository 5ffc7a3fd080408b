"""Folders with one small file for every image, in the same folders and under the same names as the images."""

import pathlib
import posixpath

from od_core.file_names import as_name
from od_core.images import IMAGE_EXTENSIONS


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
        self._made: pathlib.Path | None = None

    def write(self, image: str, text: str) -> None:
        """Write the file of an image, given by its name: a path, or anything else that a key can be."""
        *parts, name = (as_name(part) for part in image.split("/"))
        folder = self._folder.joinpath(*(self._not_a_file(part) for part in parts))
        if folder != self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made = folder
        content = text.encode()
        stem, extension = posixpath.splitext(name)
        stem = stem if extension.lower() in IMAGE_EXTENSIONS else name
        for attempt, candidate in enumerate((stem, name, *(f"{name}~{n}" for n in range(2, 1000)))):
            try:
                with open(folder / as_name(candidate + self._ending), "xb") as file:
                    file.write(content)
            except FileExistsError:
                continue
            self.renamed += attempt > 0
            return
        raise FileExistsError(f"{image}: a thousand images have this name")

    def _not_a_file(self, part: str) -> str:
        """A folder's name, which could be that of a file here: a video "a.xml", say, whose frames lie in it."""
        return f"{part}~" if part.endswith(self._ending) else part
