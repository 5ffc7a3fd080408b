"""Annotations in YOLO's form: a text file beside each image, or in labels/ for an image in images/.

data.yaml                   see `yolo_names`; or classes.txt, obj.names: a name a line
images/val/a.jpg
labels/val/a.txt            see `yolo_label`

Also images/ and labels/ within train/ and val/ (Roboflow), and labels in the images' own folder (Darknet). An image
without a label file, or with an empty one, has no objects; a data set in which no image has one is refused.
"""

import os
import posixpath
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from od_core import storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotationFault,
    image_name,
    no_such_path,
    short_place,
)
from od_core.annotations.yolo_label import MAX_BYTES, parse_yolo
from od_core.annotations.yolo_names import YoloData, is_yaml, read_yolo_data
from od_core.errors import AnnotationError, UsageError
from od_core.images import IMAGE_EXTENSIONS
from od_core.label_map import LabelMap

IMAGES, LABELS = "images", "labels"

_LABEL_FOLDERS = (LABELS, "Labels", "annotations", "Annotations")
_NAME_LISTS = ("classes.txt", "obj.names")
_DESCRIPTIONS = ("data.yaml", "dataset.yaml")


class YoloImage(NamedTuple):
    """One image: its name, its label file, None if it has none, and the split that data.yaml has it in."""

    name: str
    label: str | None
    split: str | None


class YoloAnnotations:
    """The images of one data set, in the order of their names."""

    format = "yolo"

    def __init__(
        self, data: YoloData, images_folder: str, images: Sequence[YoloImage], faults: Sequence[AnnotationFault]
    ):
        self.images_folder: str | None = images_folder
        self._data = data
        self._images = images
        self._faults = faults

    @property
    def label_map(self) -> LabelMap:
        """The classes in their order, counted from 1."""
        return self._data.label_map

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`; faults of no image in particular come last."""
        for image in self._images:
            yield from self._read(image)
        yield from self._faults

    def _read(self, image: YoloImage) -> Iterator[AnnotatedImage | AnnotationFault]:
        if image.label is None:
            yield AnnotatedImage(image.name, "", image.name, "", None, None, (), image.split, normalised=True)
            return
        place = short_place(image.label)
        try:
            with storage.open_input(image.label) as file:
                content = file.read(MAX_BYTES + 1)
            found = parse_yolo(content, self._data.names, self._data.keypoint_numbers)
        except (OSError, AnnotationError) as error:
            why = f"the labels cannot be read ({error.strerror or error})" if isinstance(error, OSError) else str(error)
            yield AnnotationFault(place, why, image.name, split=image.split)
            return
        yield AnnotatedImage(
            image.name,
            image.label,
            place,
            "",
            None,
            None,
            found.objects,
            image.split,
            normalised=True,
            notes=found.notes,
        )
        for line, message in found.faults:
            yield AnnotationFault(f"{place}: line {line}", message, image.name, of_object=True)


def open_yolo(path: str, images: str | None = None) -> YoloAnnotations:
    """The annotations of a data set.

    Args:
        path: its data.yaml, or its folder.
        images: the image folder, where the images are not with the labels.

    Raises:
        UsageError: no such path, no names of classes, no images, no labels, or a data.yaml that leads out of its folder
            and out of `images`.
    """
    if storage.stat(path) is not None and not is_yaml(path):
        raise UsageError(f"{path}: a YOLO data set is given as its data.yaml or as its folder")
    if storage.stat(path) is None and not storage.is_folder(path):
        raise no_such_path(path)
    file = path if storage.stat(path) is not None else find_description(path)
    root = (posixpath.dirname(path) or ".") if file == path else path.rstrip("/") or "/"
    if file is None:
        raise UsageError(
            f"{path}: a YOLO data set needs the names of its classes, but there is no data.yaml and no classes.txt in"
            " there; write one, a name a line in the order of the classes' numbers"
        )
    return _Finder(root, images).find(read_yolo_data(file), file)


def find_description(folder: str) -> str | None:
    """The file of a folder that names the classes; None if there is none."""
    names = [name for name in storage.names_in(folder) if not name.startswith(".")]
    others = [name for name in names if is_yaml(name) or name.endswith(".names")]
    for name in (*_DESCRIPTIONS, *_NAME_LISTS, *others):
        if name in names:
            return storage.join(folder, name)
    inner = storage.join(folder, LABELS, _NAME_LISTS[0])
    return inner if storage.stat(inner) is not None else None


class _Finder:
    """Finds the images of a data set and the label file of each."""

    def __init__(self, root: str, images: str | None):
        self._root = root
        inner = storage.join(root, LABELS)
        self._apart = images is not None
        self._images_root = images.rstrip("/") if images is not None else root
        self._labels_root = inner if self._apart and storage.is_folder(inner) else root
        self._images = _below(self._images_root, IMAGE_EXTENSIONS)
        # By the usual spelling of their extension; where a folder has both, that is the one.
        found = sorted(_below(self._labels_root, (".txt",)).items())
        self._labels = {f"{posixpath.splitext(name)[0]}.txt": path for name, path in found}

    def find(self, data: YoloData, description: str) -> YoloAnnotations:
        if not self._images:
            raise UsageError(f"{self._images_root}: no images in there; say with --images DIR where they lie")
        faults: list[AnnotationFault] = []
        if data.places:
            chosen = self._chosen(data, storage.printable(description), faults)
        else:
            chosen = dict.fromkeys(self._images)
        pairs = {name: self._label_of(name) for name in sorted(chosen)}
        if not any(pairs.values()):
            raise UsageError(
                f"{self._root}: none of {len(pairs):,} images has a label file; expected labels/a.txt for images/a.jpg,"
                " or a.txt beside a.jpg"
            )
        faults += self._orphans(pairs.keys(), everything=not data.places)
        tops = {name.partition("/")[0] for name in pairs}
        top = tops.pop() if len(tops) == 1 else ""
        if self._apart or top.lower() != IMAGES:
            top = ""
        cut = len(top) + 1 if top else 0
        images = [YoloImage(name[cut:], label and self._labels[label], chosen[name]) for name, label in pairs.items()]
        return YoloAnnotations(data, storage.join(self._images_root, top).rstrip("/"), images, faults)

    def _chosen(self, data: YoloData, origin: str, faults: list[AnnotationFault]) -> dict[str, str | None]:
        """The images in the places that data.yaml names, and the split of the first place that each is in."""
        chosen: dict[str, str | None] = {}
        found = False
        for split, written in data.places:
            place = self._place(data, written)
            if place is None:
                message = (
                    f"it says that images are in {written}, which is not in {storage.printable(self._images_root)}"
                )
                where = f"{posixpath.basename(origin)}: {split}"
                faults.append(AnnotationFault(where, message, None, of_object=True, objects=0))
                continue
            found = True
            names: Iterable[str]
            if storage.is_folder(storage.join(self._images_root, place)):
                prefix = f"{place}/" if place else ""
                names = (name for name in self._images if name.startswith(prefix))
            else:
                names = self._listed(place, split, faults)
            chosen = {**dict.fromkeys(names, split), **chosen}
        if not chosen:
            if not found:
                raise UsageError(
                    f"{origin}: none of the places it names is in {self._images_root}, {data.places[0][1]} first; say"
                    " with --images DIR where the images lie"
                )
            raise UsageError(f"{origin}: there are no images in the places it names, {data.places[0][1]} first")
        return chosen

    def _place(self, data: YoloData, written: str) -> str | None:
        """A place of data.yaml below the images' root; None if it is not there, or leads out of it."""
        from_file = written.removeprefix("../")  # as Roboflow writes it
        in_images = from_file.partition("/")[2] if self._apart else from_file
        for place in dict.fromkeys((posixpath.join(data.path, written), written, from_file, in_images)):
            below = _relative(place, self._images_root)
            if below is None:
                continue
            path = storage.join(self._images_root, below)
            if storage.is_folder(path) or storage.stat(path) is not None:
                return below
        return None

    def _listed(self, place: str, split: str, faults: list[AnnotationFault]) -> Iterator[str]:
        """The images in a list of them."""
        path = storage.join(self._images_root, place)
        try:
            text = storage.read_bytes(path).decode("utf-8-sig", "backslashreplace")
        except OSError as error:
            raise UsageError(f"{path}: the list of images cannot be read ({error.strerror or error})") from error
        folder = posixpath.dirname(place)
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                name = image_name(line.strip())
            except ValueError as error:
                faults.append(AnnotationFault(f"{short_place(path)}: line {number}", str(error), None, split=split))
                continue
            known = next((one for one in (posixpath.join(folder, name), name) if one in self._images), None)
            if known is None:
                message = f"there is no image {name} in {storage.printable(self._images_root)}"
                faults.append(AnnotationFault(f"{short_place(path)}: line {number}", message, None, split=split))
            else:
                yield known

    def _label_of(self, name: str) -> str | None:
        stem = posixpath.splitext(name)[0]
        return next((label for label in self._label_names(stem) if label in self._labels), None)

    def _label_names(self, stem: str) -> Iterator[str]:
        """Where the labels of an image can be, the most usual place first."""
        parts = stem.split("/")
        marks = [index for index, part in enumerate(parts[:-1]) if part.lower() == IMAGES]
        if marks:
            for folder in _LABEL_FOLDERS:
                yield "/".join([*parts[: marks[-1]], folder, *parts[marks[-1] + 1 :]]) + ".txt"
        yield f"{stem}.txt"

    def _orphans(self, chosen: Collection[str], everything: bool) -> Iterator[AnnotationFault]:
        """Label files in a folder of labels without an image; those of images that were not chosen are none."""
        stems = {posixpath.splitext(name)[0] for name in self._images}
        folders = {posixpath.dirname(name) for name in chosen}
        for label, path in sorted(self._labels.items()):
            parts = label.removesuffix(".txt").split("/")
            marks = [index for index, part in enumerate(parts[:-1]) if part in _LABEL_FOLDERS]
            in_labels = bool(marks) or self._labels_root != self._root
            if not in_labels or posixpath.basename(label) in _NAME_LISTS:
                continue
            candidates = ["/".join(parts)]
            if marks:
                before, after = parts[: marks[-1]], parts[marks[-1] + 1 :]
                candidates += ["/".join([*before, name, *after]) for name in (IMAGES, IMAGES.title(), IMAGES.upper())]
            wanted = everything or any(posixpath.dirname(stem) in folders for stem in candidates)
            if wanted and not any(stem in stems for stem in candidates):
                yield AnnotationFault(short_place(path), "there is no image of this name", None)


def _below(root: str, extensions: Collection[str]) -> dict[str, str]:
    """The files below a folder: name below it, in NFC, to path."""
    prefix = storage.local_path(root).rstrip("/") + "/"
    found = {}
    for info in storage.walk(root):
        if posixpath.splitext(info.path)[1].lower() in extensions:
            below = info.path[len(prefix) :] if info.path.startswith(prefix) else posixpath.basename(info.path)
            found[unicodedata.normalize("NFC", storage.printable(below))] = info.path
    return found


def _relative(place: str, root: str) -> str | None:
    """A place seen from a folder as one below it; None if it leads out of it."""
    remote = storage.is_remote(root)
    base = "/" + root.partition("://")[2] if remote else os.path.abspath(storage.local_path(root))
    path = posixpath.normpath(posixpath.join(base, place))
    base = base.rstrip("/")
    return path[len(base) + 1 :] if path == base or path.startswith(f"{base}/") else None
