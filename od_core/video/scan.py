"""What the packets of a video tell without being decoded: which frames to expect, in which order, and where to cut.

Of most streams every shown packet is one frame, and frames come in order of presentation. A scan expects that; whoever
decodes a part of the video checks it. Streams known to break it are refused at once, and are to be decoded whole.
"""

import array
import dataclasses
import functools
import itertools
import os
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.video.decode import NumberedPacket, numbered_packets
from od_core.video.file import open_video
from od_core.video.sampling import Sampler

_NO_TIME = -(1 << 63)
# A picture that is all copies of another, in MPEG-4 Part 2; in packed streams another picture came along before it.
_EMPTY_PICTURE_BYTES = 8

Ints = npt.NDArray[np.int64]


class Border(NamedTuple):
    """Where a video can be cut: before the keyframe of packet `ordinal`, which is frame number `place`."""

    ordinal: int
    place: int


@dataclasses.dataclass(frozen=True, eq=False)
class PacketScan:
    """The packets of a video stream, in the order of the file; about 50 bytes of memory for each.

    Attributes:
        pts, dts: int64 [packets], in units of the stream; the least number where there is none.
        sizes, crcs: int64 [packets]: bytes, and their CRC-32.
        is_keyframe, is_shown: bool [packets]; what edit lists hide, and what is empty, is not shown.
        unit: of the times, in seconds.
        refusal: why the frames cannot be told from the packets; None if they can.
    """

    pts: Ints
    dts: Ints
    sizes: Ints
    crcs: Ints
    is_keyframe: npt.NDArray[np.bool_]
    is_shown: npt.NDArray[np.bool_]
    unit: Fraction
    refusal: str | None

    @functools.cached_property
    def order(self) -> Ints:
        """Ordinals of the shown packets in order of presentation: the n-th is expected to be frame n."""
        shown = np.flatnonzero(self.is_shown)
        return shown[np.argsort(self.pts[shown], kind="stable")]

    @functools.cached_property
    def places(self) -> Ints:
        """int64 [packets]: the number of the frame that each packet is expected to be; -1 where it is not shown."""
        places = np.full(len(self.pts), -1, np.int64)
        places[self.order] = np.arange(len(self.order))
        return places

    @functools.cached_property
    def borders(self) -> list[Border]:
        """Where the video can be cut; the first is its beginning, keyframe or not."""
        keys = np.flatnonzero(self.is_keyframe & self.is_shown)[1:].tolist()
        return [Border(0, 0), *(Border(key, int(self.places[key])) for key in keys)]

    def border_at(self, place: int) -> int:
        """Which border (its number) is the last one not after frame `place`."""
        places = [border.place for border in self.borders]
        return int(np.searchsorted(places, place, side="right")) - 1

    def span(self, start: int, stop: int, total: int) -> range:
        """The frames that a part of the video holds: those between the borders that lie in `start` to `stop`.

        Parts that join give spans that join, and all parts all frames. A part without a border holds nothing.

        Args:
            start, stop, total: the part as a share of the video's bytes, start and stop counted of total.
        """
        begins = np.cumsum(self.sizes) - self.sizes
        scale = max(1, int(self.sizes.sum()))
        at = [0, *(int(begins[border.ordinal]) * total // scale for border in self.borders[1:])]

        def first_from(byte: int) -> int:
            number = int(np.searchsorted(at, byte, side="left"))
            return self.borders[number].place if number < len(self.borders) else len(self.order)

        return range(first_from(start), first_from(stop) if stop < total else len(self.order))

    @functools.cached_property
    def instants(self) -> Ints:
        """int64 [frames]: when the frames come, on the video's clock; see video_sampling."""
        return self.pts[self.order] - self.pts[self.order[:1]]

    def window(self, sampler: Sampler) -> range:
        """The frames within a sampling's window."""
        first = int(np.searchsorted(self.instants, sampler.first))
        last = len(self.instants) if sampler.stop is None else int(np.searchsorted(self.instants, sampler.stop))
        return range(first, last)

    def chosen(self, sampler: Sampler, places: range) -> Iterator[int]:
        """Those of the frames that are wanted."""
        instants = [None, *self.instants.tolist(), None]
        keyframes = self.is_keyframe[self.order]
        for place in places:
            before, at, after = instants[place : place + 3]
            if sampler.takes(place, is_keyframe=bool(keyframes[place]), before=before, at=at or 0, after=after):
                yield place

    def is_of(self, numbered: NumberedPacket) -> bool:
        """Whether a packet, or the end, is the one that the scan has at this place."""
        ordinal, packet, _ = numbered
        if packet is None or ordinal >= len(self.pts):
            return packet is None and ordinal == len(self.pts)
        return bool(
            self.pts[ordinal] == (_NO_TIME if packet.pts is None else packet.pts)
            and self.sizes[ordinal] == packet.size
            and self.crcs[ordinal] == zlib.crc32(packet)
            and self.is_keyframe[ordinal] == packet.is_keyframe
            and self.is_shown[ordinal] == (packet.size > 0 and not packet.is_discard)
        )

    def time_to_seek(self, ordinal: int) -> int | None:
        """Where to seek for a packet; None if its decoding time is not known."""
        dts = int(self.dts[ordinal])
        return None if dts == _NO_TIME else dts


def scan_packets(
    path: str | os.PathLike[str], *, max_pixels: int, alive: Callable[[], None] = lambda: None
) -> PacketScan:
    """Read all packets of a video, about 100,000 a second, and decode none.

    Raises:
        VideoError: the file cannot be opened or read, is not a video, or has no video stream.
    """
    numbers = [array.array("q") for _ in range(4)]
    flags = [bytearray(), bytearray()]
    complaint = None
    with open_video(path, max_pixels) as video:
        for _, packet, found in numbered_packets(video):
            alive()
            complaint = complaint or found
            if packet is None:
                break
            pts, dts = (_NO_TIME if time is None else time for time in (packet.pts, packet.dts))
            for column, value in zip(numbers, (pts, dts, packet.size, zlib.crc32(packet)), strict=True):
                column.append(value)
            flags[0].append(packet.is_keyframe)
            flags[1].append(packet.size > 0 and not packet.is_discard)
        codec, unit = video.codec, video.time_base
    all_pts, all_dts, sizes, crcs = (np.array(column, np.int64) for column in numbers)
    is_keyframe, is_shown = (np.array(list(flag), np.bool_) for flag in flags)
    scan = PacketScan(all_pts, all_dts, sizes, crcs, is_keyframe, is_shown, unit, None)
    return dataclasses.replace(scan, refusal=complaint or _refusal(scan, codec))


def _refusal(scan: PacketScan, codec: str) -> str | None:
    """Why the frames cannot be told from these packets."""
    shown = scan.is_shown
    if codec == "vp8":
        return "VP8 has packets that are no frames."
    if codec == "mpeg4" and (scan.sizes[shown] <= _EMPTY_PICTURE_BYTES).any():
        return "It has packets without a picture, as where two pictures were packed into one."
    if (scan.pts[shown] == _NO_TIME).any():
        return "Some of its packets have no presentation time."
    if len(np.unique(scan.pts[shown])) < shown.sum():
        return "Some of its packets have the same presentation time."
    keys = np.flatnonzero(scan.is_keyframe & shown)
    if len(keys) < 2:
        return "It has only one keyframe."
    if any(scan.pts[one] >= scan.pts[other] for one, other in itertools.pairwise(keys.tolist())):
        return "The times of its keyframes go back."
    return None
