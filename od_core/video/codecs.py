"""The compressions of written videos: those that browsers play from an MP4, set so that they repeat themselves."""

import dataclasses
from collections.abc import Mapping

_KEYFRAME_EVERY = "60"  # videos for review are stepped through, so keyframes are close to each other
# The frames looked ahead at are held in memory: 190 MB of them, whatever their size, but never fewer than 4.
_LOOKAHEAD_PIXELS = 1 << 27
_FEWEST_AHEAD = 4

PRESETS = {
    "ultrafast": 0,
    "superfast": 0,
    "veryfast": 10,
    "faster": 20,
    "fast": 30,
    "medium": 40,
    "slow": 50,
    "slower": 60,
    "veryslow": 60,
}
"""libx264's presets, from fast and large to slow and small -> how many frames each looks ahead."""


@dataclasses.dataclass(frozen=True)
class VideoCodec:
    """A compression of 8 bits, 4:2:0, of which one packet is one frame, in order, and every keyframe a fresh start.

    Attributes:
        title: as people write it.
        encoder: ffmpeg's name of what makes it.
        worst_crf: constant quality goes from 1 (best) to this.
        crf: the one that is taken where nobody says another.
        min_side, max_width, max_height: the least and the most pixels that the encoder takes.
        options: of the encoder.
    """

    title: str
    encoder: str
    worst_crf: int
    crf: int
    min_side: int
    max_width: int
    max_height: int
    options: Mapping[str, str]

    def encoder_options(self, crf: int, preset: str, pixels: int) -> dict[str, str]:
        """The encoder's options for frames of so many pixels; only libx264 heeds the preset."""
        options = {**self.options, "crf": str(crf), "g": _KEYFRAME_EVERY}
        if self.encoder == "libx264":
            ahead = min(PRESETS[preset], max(_FEWEST_AHEAD, _LOOKAHEAD_PIXELS // pixels))
            options |= {"preset": preset, "rc-lookahead": str(ahead)}
        return options


CODECS = {
    "h264": VideoCodec(
        title="H.264",
        encoder="libx264",
        worst_crf=51,
        crf=20,
        min_side=2,
        max_width=16384,
        max_height=16384,
        options={
            "profile": "high",
            # Without B-frames an MP4 needs no edit list, which players treat differently.
            "bf": "0",
            # With macroblock-tree rate control x264 (core 165) gives other bytes for equal frames about once in a
            # thousand short videos; without it, it never was seen to.
            "x264-params": "mbtree=0",
        },
    ),
    "vp9": VideoCodec(
        title="VP9",
        encoder="libvpx-vp9",
        worst_crf=63,
        crf=31,
        min_side=2,
        max_width=16384,
        max_height=16384,
        # A bit rate of 0 makes the quality constant. Looking ahead would put hidden frames into packets.
        options={"b": "0", "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0", "auto-alt-ref": "0"},
    ),
    "av1": VideoCodec(
        title="AV1",
        encoder="libsvtav1",
        worst_crf=63,
        crf=35,
        min_side=4,
        max_width=16384,
        max_height=8704,
        # One thread and frames in order: the same bytes again, few frames in memory.
        options={"preset": "10", "svtav1-params": "lp=1:pred-struct=1"},
    ),
}
"""By the name that `--codec` takes. H.265 is not among them: not every browser plays it."""
