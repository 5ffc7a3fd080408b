"""Files of the built-in sample: pictures with Pascal VOC annotations, a video with its ground truth, a label map.

Everything here is a pure function of its arguments: the same call writes the same bytes. The detector beside this file
(`MODEL`) was trained on harbours of seed 1,000,000 and higher, so every lower seed is one that it has not seen.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import av

from od_core.ground_truth import GroundTruth
from od_core.harbour.scene import Harbour, HarbourObject
from od_core.harbour.ships import LABELS
from od_core.images import encode_jpeg
from od_core.label_map import LabelMap
from od_core.schemas import FrameRow

MODEL = Path(__file__).with_name("frozen_inference_graph.pb")
"""The trained detector: a frozen graph for `od_core.model.detector.open_detector`."""

LABEL_MAP = Path(__file__).with_name("label_map.pbtxt")
"""Its label map, as `write_label_map` writes it."""

WIDTH, HEIGHT = 640, 384
RATE = 25

_JPEG_QUALITY = 92
_SECONDS_BETWEEN_IMAGES = 41.0


def write_images(
    folder: str | os.PathLike[str], count: int, *, seed: int = 0, width: int = WIDTH, height: int = HEIGHT
) -> None:
    """Write JPEGImages/harbour_000.jpg, ... and Annotations/harbour_000.xml, ... into a folder that may be new.

    Every picture shows another harbour at another time. Annotations are in Pascal VOC's form, but their edges are lines
    counted from 0 (the TensorFlow Object Detection API divides them by width and height as they are), where VOC
    itself counts pixels from 1.

    Args:
        folder: where to.
        count: of pictures.
        seed: of the first picture; the next has the next.
        width, height: of the pictures, in pixels.
    """
    images, annotations = Path(folder, "JPEGImages"), Path(folder, "Annotations")
    images.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name = f"harbour_{number:03d}"
        view = Harbour(seed + number, width=width, height=height).view(image_time_s(number))
        (images / f"{name}.jpg").write_bytes(encode_jpeg(view.image, _JPEG_QUALITY))
        annotation = voc_annotation(f"{name}.jpg", view.objects, width, height)
        (annotations / f"{name}.xml").write_text(annotation, encoding="utf-8")


def image_time_s(number: int) -> float:
    """At which time of its harbour a picture of `write_images` is taken."""
    return number * _SECONDS_BETWEEN_IMAGES


def voc_annotation(filename: str, objects: tuple[HarbourObject, ...], width: int, height: int) -> str:
    """A picture's annotation as Pascal VOC's XML; see `write_images` for its edges."""
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, **texts: str | int) -> None:
        for tag, text in texts.items():
            ElementTree.SubElement(parent, tag).text = str(text)

    add(root, folder="JPEGImages", filename=filename)
    add(ElementTree.SubElement(root, "source"), database="boxbeam harbour")
    add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    add(root, segmented=0)
    for found in objects:
        element = ElementTree.SubElement(root, "object")
        flags = {"truncated": int(found.truncated), "difficult": int(found.difficult)}
        add(element, name=found.label, pose="Unspecified", **flags)
        ymin, xmin, ymax, xmax = (round(edge) for edge in found.box_px)
        add(ElementTree.SubElement(element, "bndbox"), xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def write_video(
    path: str | os.PathLike[str],
    frames: int,
    *,
    rate: int = RATE,
    seed: int = 0,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> None:
    """Write one harbour from time 0 on as an H.264 video that browsers play; `video_ground_truth` says what is in it.

    Args:
        path: an .mp4 file; its folder may be new.
        frames: how many.
        rate: frames per second.
        seed: of the harbour.
        width, height: in pixels, even.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    harbour = Harbour(seed, width=width, height=height)
    with av.open(os.fspath(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "18", "g": str(2 * rate)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1  # more threads cut the picture into other pieces, and the bytes differ
        for index in range(frames):
            view = harbour.view(index / rate)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view.image, format="rgb24")))
        container.mux(stream.encode(None))


def video_ground_truth(
    key: str,
    frames: int,
    *,
    source: str | None = None,
    rate: int = RATE,
    seed: int = 0,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Iterator[FrameRow]:
    """What is in each frame of the video that `write_video` writes with the same arguments, in order.

    Args:
        key: the video's path relative to the input folder, with / between folders.
        frames, rate, seed, width, height: as given to `write_video`.
        source: the video's full path; by default the key.

    Yields:
        Rows for `od_core.schemas.ground_truth_table`.
    """
    harbour = Harbour(seed, width=width, height=height)
    for index in range(frames):
        yield FrameRow(
            key=key,
            source=source if source is not None else key,
            kind="video",
            frame_index=index,
            timestamp_us=round(Fraction(index * 1_000_000, rate)),
            width=width,
            height=height,
            objects=ground_truth(harbour.objects(index / rate), width, height),
        )


def ground_truth(objects: tuple[HarbourObject, ...], width: int, height: int) -> GroundTruth:
    """The objects of a view, their boxes in units of its width and height."""
    return GroundTruth.of(
        [[edge / size for edge, size in zip(found.box_px, (height, width) * 2, strict=True)] for found in objects],
        [found.class_id for found in objects],
        difficult=[found.difficult for found in objects],
        labels=[found.label for found in objects],
    )


def write_label_map(path: str | os.PathLike[str]) -> None:
    """Write the harbour's classes as a label map."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        LabelMap.of_names(LABELS[class_id] for class_id in sorted(LABELS)).to_text(), encoding="utf-8"
    )
