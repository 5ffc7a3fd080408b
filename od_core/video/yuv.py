"""RGB pictures as encoders take them: 8 bits, 4:2:0, BT.709, of one even size."""

from typing import NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from od_core.errors import VideoError

ImageArray = npt.NDArray[np.uint8]

# The colour of two by two pixels is their mean: lines of two pixels keep theirs, and sharper filters would ring beside
# them. The flags give the same numbers on every processor.
_HALVING = Interpolation.AREA | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class YuvPicture(NamedTuple):
    """A picture ready to be encoded, and the height and width of the RGB image that it was made of."""

    frame: av.VideoFrame
    height: int
    width: int


class YuvConverter:
    """Converts the pictures of one video; in one thread at a time.

    The first one decides the size, with the last column and row repeated where it is odd. Pictures of other sizes are
    scaled to fit into it, black on both sides.
    """

    def __init__(self) -> None:
        self._to_yuv = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def convert(self, image: ImageArray) -> YuvPicture:
        """The picture of an image, uint8 (H, W, 3) RGB, which must not be changed any more.

        Raises:
            VideoError: ffmpeg cannot convert it.
        """
        height, width = image.shape[:2]
        self._size = self._size or (height + height % 2, width + width % 2)
        # Not from_ndarray, which copies: at 720p that takes longer than the conversion.
        rgb = av.VideoFrame.from_numpy_buffer(_fitted(image, *self._size), format="rgb24")
        try:
            frame = self._to_yuv.reformat(
                rgb,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                dst_color_primaries=ColorPrimaries.BT709,
                dst_color_trc=ColorTrc.BT709,
                interpolation=_HALVING,
                threads=1,
            )
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise VideoError(f"ffmpeg cannot turn {width} x {height} pixels of RGB into YUV: {error}") from error
        return YuvPicture(frame, height, width)


def _fitted(image: ImageArray, height: int, width: int) -> ImageArray:
    """The image in a size: padded by a column or row, or, if that is not enough, scaled and centred on black."""
    rows, columns = image.shape[:2]
    if (rows + rows % 2, columns + columns % 2) == (height, width):
        if (rows, columns) != (height, width):
            image = np.pad(image, ((0, height - rows), (0, width - columns), (0, 0)), mode="edge")
        return np.ascontiguousarray(image)
    scale = min(height / rows, width / columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    fitted[top : top + size[1], left : left + size[0]] = scaled
    return fitted
