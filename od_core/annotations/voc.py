"""Annotations in Pascal VOC's form: a folder of XML files, one per image, or those of them that a list names.

Annotations/000001.xml      see `voc_xml`
JPEGImages/000001.jpg
ImageSets/Main/val.txt      "000001" a line; in lists of one class "000001 -1": all are read, whatever the number

The lists called train, val and so on are the data set's own splits.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from od_core import storage
from od_core.annotations.annotated import AnnotatedImage, AnnotationFault, no_such_path, parent_folder, short_place
from od_core.annotations.voc_xml import MAX_BYTES, XmlFile, is_labelme, parse_voc
from od_core.errors import UsageError
from od_core.images import IMAGE_EXTENSIONS

ANNOTATIONS = "Annotations"

_IMAGE_FOLDERS = ("JPEGImages", "images", "Images")
_CLASS_FLAGS = ("-1", "0", "1")
_SPLIT_LISTS = ("train", "val", "valid", "validation", "test", "trainval")


class VocAnnotations:
    """The annotations in XML files, sorted by their paths.

    An image's `name` is the file name in its annotation, behind the folder of the XML below the annotation folder:
    Annotations/camera1/7.xml is about camera1/7.jpg. Where an annotation has no file name, or one without extension,
    the image is looked for in `images_folder`; one that is not found there is taken for a .jpg.
    """

    format = "voc"
    label_map = None

    def __init__(
        self,
        files: Sequence[XmlFile],
        images_folder: str | None,
        missing: Sequence[AnnotationFault] = (),
        *,
        root: str | None = None,
        splits: Mapping[str, str] | None = None,
    ):
        """Of files in order.

        Args:
            files: the annotations.
            images_folder: see `Annotations`.
            missing: annotations that were asked for but are not there.
            root: the folder of all annotations, where the files are all of them.
            splits: of files, by their paths below the annotation folder.
        """
        self.images_folder = images_folder
        self._files = files
        self._missing = missing
        self._root = root
        self._splits = splits or {}
        self._image_names: dict[str, dict[str, str]] = {}

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`."""
        first_places: dict[str, str] = {}
        for file in self._files:
            found = self._read(file)
            image = found[0]
            if isinstance(image, AnnotatedImage):
                first = first_places.setdefault(image.name, file.place)
                if first != file.place:
                    message = f"it is about {image.name}, which {first} is about as well; correct its <filename>"
                    found = [AnnotationFault(file.place, message, None, objects=len(image.objects) + len(found) - 1)]
            split = self._splits.get(file.below)
            yield from (found if split is None else [one._replace(split=split) for one in found])
        yield from self._missing

    @property
    def own_splits(self) -> tuple[str, ...]:
        """The splits that `with_own_splits` would find."""
        return () if self._root is None else tuple(_split_lists(self._root))

    def with_own_splits(self) -> "VocAnnotations":
        """The same in the splits of the data set's own lists, ImageSets/Main/train.txt and so on.

        A list trainval is looked at only where there is neither train nor val. Lines that name no annotation count as
        annotations that are not there.

        Raises:
            UsageError: an annotation in two splits.
        """
        paths = {} if self._root is None else _split_lists(self._root)
        by_stem = {file.below[: -len(".xml")]: file for file in self._files}
        splits: dict[str, str] = {}
        missing = list(self._missing)
        for split, path in paths.items():
            for number, line in _lines(path):
                stem = _stem(line, by_stem)
                file = by_stem.get(stem)
                place = f"{posixpath.basename(path)}: line {number}"
                if file is not None and splits.setdefault(file.below, split) != split:
                    raise UsageError(
                        f"{path}: line {number} names {stem}, which {splits[file.below]}.txt names too: an image must"
                        " be in one split only; correct the lists"
                    )
                if file is None:
                    message = f"it asks for {stem}.xml, which is not in {self._root}"
                    missing.append(AnnotationFault(place, message, None, split=split))
        return VocAnnotations(self._files, self.images_folder, missing, root=self._root, splits=splits)

    def refuse_labelme(self, given: str) -> None:
        """Refuse annotations whose first file is one of LabelMe: its elements have the same names, but no boxes.

        Raises:
            UsageError: they are; `given` is the path that was asked for.
        """
        first = self._files[0] if self._files else None
        if first is not None and is_labelme(self._content(first)):
            raise UsageError(
                f"{given}: annotations of LabelMe ({first.place} has polygons or masks, and no <bndbox>), which are not"
                " read: convert them to Pascal VOC or COCO first"
            )

    def _content(self, file: XmlFile) -> bytes:
        """What is in a file, or nothing if it cannot be read."""
        try:
            with storage.open_input(file.path) as opened:
                return opened.read(MAX_BYTES + 1)
        except OSError:
            return b""

    def _read(self, file: XmlFile) -> list[AnnotatedImage | AnnotationFault]:
        try:
            with storage.open_input(file.path) as opened:
                content = opened.read(MAX_BYTES + 1)
        except OSError as error:
            message = f"the annotation cannot be read ({error.strerror or error})"
            return [AnnotationFault(file.place, message, None)]
        return parse_voc(content, file, self._find_image)

    def _find_image(self, stem: str) -> str:
        """The name of the image that is called `stem` but for its extension."""
        folder, _, own = stem.rpartition("/")
        if folder not in self._image_names:
            self._image_names[folder] = self._names_by_stem(folder)
        found = self._image_names[folder].get(own, f"{own}.jpg")
        return f"{folder}/{found}" if folder else found

    def _names_by_stem(self, folder: str) -> dict[str, str]:
        path = storage.join(self.images_folder, folder).rstrip("/") if self.images_folder else None
        if path is None or not storage.is_folder(path):
            return {}
        names = (name for name in storage.names_in(path) if _is_image(name))
        return {posixpath.splitext(name)[0]: name for name in reversed(list(names))}


def open_voc(path: str) -> VocAnnotations:
    """The annotations below a path.

    Args:
        path: a VOC folder (with Annotations/ in it), a folder of XML files, at any depth, a single XML file, or a list
            as in ImageSets/Main, whose Annotations/ is found two folders up, one up, or beside it.

    Raises:
        UsageError: no such path, no XML files there, a list without its annotations, or annotations of LabelMe.
    """
    if storage.stat(path) is None:
        if not storage.is_folder(path):
            raise no_such_path(path)
        inner = storage.join(path, ANNOTATIONS)
        found = _of_folder(inner if storage.is_folder(inner) else path.rstrip("/") or "/")
    elif posixpath.splitext(path)[1].lower() == ".txt":
        found = _of_list(path)
    else:
        folder, name = posixpath.split(path)
        images = _images_folder(folder, beside=_has_images(folder))
        found = VocAnnotations([XmlFile(path, name, short_place(path))], images)
    found.refuse_labelme(path)
    return found


def _split_lists(root: str) -> dict[str, str]:
    """Where the lists of splits lie, by split, for a folder of annotations."""
    folder = storage.join(parent_folder(root), "ImageSets", "Main")
    paths = {split: storage.join(folder, f"{split}.txt") for split in _SPLIT_LISTS}
    found = {split: path for split, path in paths.items() if storage.stat(path) is not None}
    if {"train", "val"} & found.keys():
        found.pop("trainval", None)
    return found


def _of_folder(root: str) -> VocAnnotations:
    files, has_images = _xml_files(root)
    if not files:
        raise UsageError(f"{root}: no .xml files in there, expected the annotations of a Pascal VOC data set")
    inner = sorted({file.below.partition(f"/{ANNOTATIONS}/")[0] for file in files if f"/{ANNOTATIONS}/" in file.below})
    if inner:
        choices = " or ".join(storage.join(root, folder) for folder in inner[:5])
        raise UsageError(f"{root}: a folder of Pascal VOC data sets, not one itself; give {choices}")
    return VocAnnotations(files, _images_folder(root, beside=has_images), root=root)


def _of_list(path: str) -> VocAnnotations:
    lines = _lines(path)
    folder = posixpath.dirname(path) or "."
    above = parent_folder(folder)
    roots = [storage.join(up, ANNOTATIONS) for up in (parent_folder(above), above, folder)]
    root = next((root for root in roots if storage.is_folder(root)), None)
    if root is None:
        raise UsageError(
            f"{path}: a list of annotations needs their folder {ANNOTATIONS} two folders up, as in a Pascal VOC data "
            f"set, but there is no {roots[0]}"
        )
    files, has_images = _xml_files(root)
    by_stem = {file.below[: -len(".xml")]: file for file in files}
    wanted = {}
    missing = []
    for number, line in lines:
        stem = _stem(line, by_stem)
        if stem in by_stem:
            wanted[stem] = by_stem[stem]
        else:
            place = f"{posixpath.basename(path)}: line {number}"
            missing.append(AnnotationFault(place, f"it asks for {stem}.xml, which is not in {root}", None))
    if not wanted:
        raise UsageError(
            f"{path}: none of its {len(lines)} lines names an annotation in {root}; the first says {lines[0][1]!r}"
            if lines
            else f"{path}: the list is empty, expected the name of an annotation a line"
        )
    return VocAnnotations(
        [wanted[stem] for stem in sorted(wanted)], _images_folder(root, beside=has_images), tuple(missing)
    )


def _lines(path: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers from 1."""
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: a list of annotations must be UTF-8 text, one name a line ({error})") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _stem(line: str, known: dict[str, XmlFile]) -> str:
    """What a line calls its annotation, less a class flag and an extension."""
    candidates = [line]
    words = line.rsplit(None, 1)
    if len(words) == 2 and words[1] in _CLASS_FLAGS:
        candidates.append(words[0])
    for name in tuple(candidates):
        stem, extension = posixpath.splitext(name)
        if extension.lower() in {".xml", *IMAGE_EXTENSIONS}:
            candidates.append(stem)
    return next((name for name in candidates if name in known), candidates[-1])


def _xml_files(root: str) -> tuple[list[XmlFile], bool]:
    """The XML files below a folder, sorted, and whether there are images there too."""
    prefix = storage.local_path(root).rstrip("/") + "/"
    label = posixpath.basename(root.rstrip("/"))
    files = []
    has_images = False
    for info in storage.walk(root):
        if info.path.lower().endswith(".xml"):
            below = info.path[len(prefix) :] if info.path.startswith(prefix) else posixpath.basename(info.path)
            files.append(XmlFile(info.path, below, storage.printable(posixpath.join(label, below))))
        has_images = has_images or _is_image(info.path)
    return sorted(files, key=lambda file: file.below), has_images


def _images_folder(root: str, beside: bool) -> str | None:
    """Where the images of annotations in `root` lie by convention; `beside`: some lie there too."""
    parts = root.split("/")
    marks = [index for index, part in enumerate(parts) if part.lower() == ANNOTATIONS.lower()]
    candidates = []
    if marks:
        data_set, rest = parts[: marks[-1]], parts[marks[-1] + 1 :]
        for inner in (rest, []):
            candidates += ["/".join([*data_set, name, *inner]) for name in _IMAGE_FOLDERS]
    elif not beside:
        candidates += [storage.join(parent_folder(root), name) for name in _IMAGE_FOLDERS]
    found = next((folder for folder in candidates if storage.is_folder(folder)), None)
    return found or ((root or ".") if beside else None)


def _has_images(folder: str) -> bool:
    return any(_is_image(name) for name in storage.names_in(folder or "."))


def _is_image(path: str) -> bool:
    return posixpath.splitext(path)[1].lower() in IMAGE_EXTENSIONS
