"""Detections cut out of images and frames, each a JPEG of its own, in folders by class."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from od_core import storage
from od_core.drawing import blur, fit_within
from od_core.images import encode_jpeg
from pipelines.render.names import file_of_crop
from pipelines.render.rendered import RenderedRow
from pipelines.render.views import View

ImageArray = npt.NDArray[np.uint8]

_JPEG_QUALITY = 90
_ROUNDING = 0.01  # of a pixel: boxes on whole pixels are a little beside them as float32


class CropWriter:
    """Writes crops.

    Args:
        output: the output folder.
        margin: how much around a box is cut out with it, as a share of its height and width on every side.
        max_side: the most pixels in width or height of a crop; larger ones are made smaller.
    """

    def __init__(self, output: str, *, margin: float, max_side: int | None):
        self._output = output
        self._margin = margin
        self._max_side = max_side
        self._labels: Mapping[int, str] = {}

    def begin(self, labels: Mapping[int, str]) -> None:
        """From now on classes have these names."""
        self._labels = labels

    def write(
        self, blank: RenderedRow, picture: str, image: ImageArray, view: View, frame_index: int | None = None
    ) -> Iterator[RenderedRow]:
        """Write everything that is shown in an image; one row for each, and none for what lies outside of it.

        Args:
            blank: the row of the image, record or video.
            picture: the name that its picture would have.
            image: uint8 (H, W, 3) RGB, upright.
            view: what is to be seen in it.
            frame_index: of a frame of a video.
        """
        if view.shown is None:
            return
        if view.hidden is not None:
            image = blur(image, view.hidden)
        found = view.shown
        told = zip(found.boxes, found.scores.tolist(), found.classes.tolist(), view.numbers.tolist(), strict=True)
        for box, score, class_id, number in told:
            place = _cut(image, box, self._margin)
            if not place.size:
                continue
            crop = fit_within(np.ascontiguousarray(place), self._max_side)
            label = self._labels.get(class_id)
            file = file_of_crop(label or f"class {class_id}", picture, number, frame_index)
            with storage.commit(storage.join(self._output, file)) as temporary:
                temporary.write_bytes(encode_jpeg(crop, _JPEG_QUALITY))
            yield blank._replace(
                frames=1,
                width=crop.shape[1],
                height=crop.shape[0],
                detections=1,
                file=file,
                frame_index=frame_index,
                detection_index=number,
                class_id=class_id,
                label=label,
                score=score,
            )


def _cut(image: ImageArray, box: npt.NDArray[np.float32], margin: float) -> ImageArray:
    """The part of the image under a box and its margin, of at least one pixel; empty if the box lies outside."""
    ends = np.sort(box.astype(np.float64).reshape(2, 2), axis=0)
    if (ends[1] < 0).any() or (ends[0] > 1).any():
        return image[:0]
    size = np.array(image.shape[:2])
    wider = (ends[1] - ends[0]) * margin
    low = np.clip(np.floor((ends[0] - wider) * size + _ROUNDING), 0, size - 1).astype(np.intp)
    high = np.clip(np.ceil((ends[1] + wider) * size - _ROUNDING), low + 1, size).astype(np.intp)
    return image[low[0] : high[0], low[1] : high[1]]
