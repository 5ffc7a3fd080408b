"""Decoded video frames as upright RGB, with the pixels OpenCV would give."""

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.reformatter import Interpolation, VideoReformatter

from od_core.errors import VideoError


class RgbConverter:
    """Makes RGB arrays of frames; keeps what setting up the conversion of like frames costs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._to_bgr = VideoReformatter()
        self._to_rgb = VideoReformatter()

    def upright_rgb(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """The frame as uint8 (H, W, 3) RGB, with the very numbers that OpenCV gives.

        OpenCV has ffmpeg make BGR. Straight to RGB, ffmpeg reckons 10-bit pictures and those of odd height otherwise,
        by up to 12; the common ones are the same. It swaps channels in a tenth of the time that NumPy takes.
        """
        pixels = frame.format.name
        try:
            if pixels not in ("yuv420p", "yuvj420p") or frame.height % 2:
                frame = self._to_bgr.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
            rgb = self._to_rgb.reformat(frame, format="rgb24", interpolation=Interpolation.BICUBIC, threads=1)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise VideoError(f"{self._name}: ffmpeg cannot turn its {pixels} pixels into RGB.") from error
        return np.ascontiguousarray(_upright(rgb.to_ndarray(), rgb), np.uint8)


def _upright(image: npt.NDArray[Any], frame: av.VideoFrame) -> npt.NDArray[Any]:
    """The (H, W, 3) image of a frame, turned and mirrored as the frame's display matrix says.

    Other angles than quarter turns are taken for the nearest one.
    """
    try:
        # frame.side_data would tie the frame into a reference cycle, and many would wait for the garbage collector.
        matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # its stub lacks __init__
    except ValueError:  # there is side data, such as EXIF, for which PyAV has no name; turning works all the same
        return np.rot90(image, round(frame.rotation / 90) % 4)
    if not isinstance(matrix, SideData):
        return image
    # Pixel (x, y) goes to (ax + cy, bx + dy).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32, count=5).tolist()
    if abs(a) < abs(b):
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
