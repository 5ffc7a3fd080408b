"""One Pascal VOC annotation: an XML file about one image.

    <annotation>
      <filename>000001.jpg</filename>
      <size><width>240</width><height>320</height><depth>3</depth></size>
      <object>
        <name>bus</name>
        <pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
        <bndbox><xmin>1</xmin><ymin>68</ymin><xmax>238</xmax><ymax>222</ymax></bndbox>
      </object>
    </annotation>

As the VOC development kit has it, and less strictly: only the name and the box of an object are needed. Coordinates are
taken as edges without a shift, as the TF Object Detection API takes them, although the kit counts pixels from 1. Boxes
of parts, `folder` and `path` (a place on somebody else's computer) are ignored.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree

from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    image_name,
    is_coordinate,
    pixels_or_none,
)
from od_core.errors import AnnotationError

# Room for 50,000 objects in one image.
MAX_BYTES = 16 * 1024 * 1024

ROOT = "annotation"

_EDGES = ("ymin", "xmin", "ymax", "xmax")
_ENCODING = re.compile(rb"""^<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
# Behind a byte order mark, declarations and comments; atomic groups, so that no file makes it search for long.
_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s|<\?.*?\?>|<!--.*?-->|<![A-Z][^<>\[]*>)*+<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)", re.DOTALL
)
_OTHER_ROOTS = {
    "annotations": "an annotation of CVAT",
    "html": "a web page saved under an XML file's name",
    "dataset": "perhaps one of dlib",
    "tagset": "perhaps one of ImageTagger",
}

_LABELME_MARKS = (b"<polygon>", b"<segm>", b"<imagesize>")


class XmlFile(NamedTuple):
    """One annotation file: its path or URI, its path below the annotation folder, and its name in messages."""

    path: str
    below: str
    place: str


def parse_voc(
    content: bytes, file: XmlFile, find_image: Callable[[str], str]
) -> list[AnnotatedImage | AnnotationFault]:
    """The image that an annotation file is about, followed by faults of single objects; or one fault instead.

    Args:
        content: the whole file.
        find_image: the image's name from that name without extension, for files that have no or half a `filename`.
    """
    root = None
    try:
        root = _root(content)
        name = _name(root, file, find_image)
    except AnnotationError as error:
        objects_lost = 0 if root is None else len(root.findall("object"))
        return [AnnotationFault(file.place, str(error), None, objects=objects_lost)]
    objects = []
    faults = []
    for number, element in enumerate(root.findall("object"), 1):
        place = f"object {number}"
        try:
            objects.append(_object(element, place))
        except AnnotationError as error:
            faults.append(AnnotationFault(f"{file.place}: {place}", str(error), name, of_object=True))
    width, height = (pixels_or_none(root.findtext(f"size/{side}", "").strip()) for side in ("width", "height"))
    return [AnnotatedImage(name, file.path, file.place, "", width, height, tuple(objects)), *faults]


def _root(content: bytes) -> Element:
    if len(content) > MAX_BYTES:
        raise AnnotationError(
            f"the file is larger than {MAX_BYTES // 2**20} MiB: too much for the annotation of one image"
        )
    content = content.lstrip()
    if not content:
        raise AnnotationError("an empty file, expected a Pascal VOC annotation")
    try:
        root = _parsed(content)
    except ParseError as error:
        raise AnnotationError(f"not well-formed XML ({error})") from error
    except defusedxml.DefusedXmlException as error:
        raise AnnotationError(
            f"the XML declares entities, which no annotation needs and which can be an attack ({type(error).__name__})"
        ) from error
    except (LookupError, ValueError) as error:
        raise AnnotationError(f"the XML's text cannot be decoded ({error}); save it as UTF-8") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # namespaces say nothing here
    if root.tag != ROOT:
        raise AnnotationError(other_xml(root.tag))
    return root


def other_xml(root: str) -> str:
    """That an XML file is none of ours, and perhaps whose, by its outermost element."""
    other = _OTHER_ROOTS.get(root)
    return (
        f"the XML's outermost element is <{root[:40]}>{f' ({other})' if other else ''}, where a Pascal VOC annotation "
        f"has <{ROOT}>"
    )


def is_labelme(content: bytes) -> bool:
    """Whether an XML file with <annotation> outermost is one of LabelMe: polygons or masks, and not one <bndbox>."""
    return b"<bndbox" not in content and any(mark in content for mark in _LABELME_MARKS)


def root_of(start: bytes) -> str | None:
    """The outermost element of the XML that starts like this, without its namespace; None where that is not clear."""
    found = _ROOT.match(start)
    return found[1].decode() if found else None


def _parsed(content: bytes) -> Element:
    declared = _ENCODING.match(content)
    if declared is not None and _is_multi_byte(declared[1].decode()):
        # Expat knows none of the encodings of East Asia, in which tools there used to write.
        content = content[declared.end() :].decode(declared[1].decode()).encode()
    root: Element = defusedxml.ElementTree.fromstring(content)
    return root


def _is_multi_byte(encoding: str) -> bool:
    return encoding.lower().startswith(("gb", "big5", "shift", "sjis", "cp932", "cp936", "cp949", "cp950", "euc"))


def _name(root: Element, file: XmlFile, find_image: Callable[[str], str]) -> str:
    """The folder of the XML below the annotation folder, and the file name that the annotation gives."""
    folder, _, xml_name = file.below.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    given = root.findtext("filename", "").strip()
    try:
        if not given:
            return image_name(find_image(prefix + xml_name.rpartition(".")[0]))
        own = image_name(given).rpartition("/")[2]
        return image_name(prefix + own if _has_extension(own) else find_image(prefix + own))
    except ValueError as error:
        raise AnnotationError(str(error)) from error


def _has_extension(name: str) -> bool:
    """Names such as "000001" and "frame.17" go without; those of other tools may have any of up to four letters."""
    return re.search(r"\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,4}$", name) is not None


def _object(element: Element, place: str) -> AnnotatedObject:
    label = element.findtext("name", "").strip()
    if not label:
        raise AnnotationError("the object has no name")
    box = element.find("bndbox")
    if box is None:
        others = ", ".join(sorted({f"<{child.tag}>" for child in element})[:8])
        raise AnnotationError(f"the object {label!r} has no <bndbox>, only {others}")
    ymin, xmin, ymax, xmax = (_coordinate(box, edge, label) for edge in _EDGES)
    return AnnotatedObject(
        label,
        (ymin, xmin, ymax, xmax),
        place,
        difficult=_flag(element, "difficult"),
        truncated=_flag(element, "truncated"),
        view=element.findtext("pose", "").strip() or None,
    )


def _coordinate(box: Element, edge: str, label: str) -> float:
    text = box.findtext(edge)
    if text is None:
        raise AnnotationError(f"the <bndbox> of the object {label!r} has no <{edge}>")
    try:
        value = float(text.replace("_", "?"))  # float() would read 1_0 as 10
    except ValueError:
        value = float("nan")
    if not is_coordinate(value):
        raise AnnotationError(f"the <{edge}> of the object {label!r} is {text.strip()[:40]!r}, expected a pixel number")
    return value


def _flag(element: Element, name: str) -> bool:
    """1 or true; absent, empty, 0, and Open Images' -1 for "not known" are False."""
    text = element.findtext(name, "").strip().lower()
    try:
        return float(text or 0) > 0
    except ValueError:
        return text in ("true", "yes")
