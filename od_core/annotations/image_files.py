"""Images without annotations: a folder of them."""

import posixpath
import unicodedata
from collections.abc import Iterator

from od_core import storage
from od_core.annotations.annotated import AnnotatedImage, AnnotationFault, image_name, no_such_path
from od_core.errors import UsageError
from od_core.images import IMAGE_EXTENSIONS


class ImageFiles:
    """The images below a folder, sorted by name, without objects."""

    format = "images"
    label_map = None

    def __init__(self, folder: str):
        """Raises UsageError: no such folder."""
        if not storage.is_folder(folder):
            raise (
                UsageError(f"{folder}: a file, expected a folder of images")
                if storage.stat(folder)
                else (no_such_path(folder))
            )
        self.images_folder: str | None = folder

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`."""
        folder = self.images_folder or ""
        prefix = storage.local_path(folder).rstrip("/") + "/"
        names = []
        for info in storage.walk(folder):
            if posixpath.splitext(info.path)[1].lower() in IMAGE_EXTENSIONS:
                below = info.path.removeprefix(prefix)
                names.append(unicodedata.normalize("NFC", storage.printable(below)))
        for name in sorted(names):
            try:
                image_name(name)
            except ValueError as error:
                yield AnnotationFault(ascii(name)[1:-1], str(error), name)
            else:
                yield AnnotatedImage(name, folder, name, "", None, None, ())
