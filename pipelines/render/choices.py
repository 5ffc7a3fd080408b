"""What a rendering is told to do: everything that decides what is drawn, and how."""

# Item processes unpickle this and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
from collections.abc import Mapping

from od_core.score_limits import ScoreLimits
from od_core.source_root import NOT_MOVED, SourceRoot
from od_core.video.codecs import CODECS
from pipelines.content import identity_option
from pipelines.render.classes import ids_of

LAYOUTS = ("overlay", "side_by_side")

COLOUR_BY = ("class", "verdict")

UNSAMPLED = ("hold", "skip", "plain")
"""Frames of which there is no row: with what was found in the frame before, not at all, without detections."""

ONLY = ("all", "detections", "errors")
"""What is rendered: everything; that in which something is shown; that with a wrong detection or a missed object."""

_DRAWING = "1"
"""How pictures look and are compressed; another number for every change that people would see."""

# About a minute of good video. Each range decodes up to one group of pictures more than its own frames.
VIDEO_BYTES_PER_RANGE = 64 << 20


@dataclasses.dataclass(frozen=True)
class RenderChoices:
    """All choices of a rendering.

    Attributes:
        layout: one of `LAYOUTS`.
        colour_by: one of `COLOUR_BY`.
        crops: write every detection as a picture of its own, and nothing else.
        crop_margin: how much around a detection, as a share of its height and width on every side.
        boxes: draw boxes and captions; else only what is blurred tells pictures from originals.
        blur: names or ids of classes that are made unrecognisable.
        min_score: detections below are not drawn, blurred or cut out.
        class_scores: the same for some classes: their names or ids, and the score.
        only: one of `ONLY`: which pictures, and which frames of videos, are rendered.
        iou: the overlap by which a detection finds an object; see `verdicts_of`.
        sample: how many pictures and videos are rendered, chosen by their keys; None: all.
        seed: of the sample.
        max_side: the most pixels in width or height of what is drawn on; None: those of the original.
        unsampled: one of `UNSAMPLED`.
        audio: whether videos keep their sound.
        codec: compression of videos: one of `od_core.video.codecs.CODECS`.
        crf: their constant quality; None for the codec's own.
        source_root: where originals lie that were moved.
        identity: what makes an original the same original, one of `content.IDENTITIES`.
        range_bytes: videos of more are rendered in ranges of about so many bytes, whatever the number of workers.
        ground_truth: what `open_all_ground_truth` takes; empty: only detections are drawn.
    """

    layout: str = "overlay"
    colour_by: str = "class"
    crops: bool = False
    crop_margin: float = 0.0
    boxes: bool = True
    blur: tuple[str, ...] = ()
    min_score: float = 0.5
    class_scores: tuple[tuple[str, float], ...] = ()
    only: str = "all"
    iou: float = 0.5
    sample: int | None = None
    seed: int = 0
    max_side: int | None = None
    unsampled: str = "hold"
    audio: bool = True
    codec: str = "h264"
    crf: int | None = None
    source_root: SourceRoot = NOT_MOVED
    identity: str = "time"
    range_bytes: int = VIDEO_BYTES_PER_RANGE
    ground_truth: tuple[str, ...] = ()

    @property
    def options(self) -> Mapping[str, str]:
        """What changes the pictures. Which annotations an input has belongs to its identity, as the original does.

        Options that came later are left out where they change nothing, so that older outputs can be continued.
        """
        scores = [f"{self.min_score:g}", *(f"{name}={score:g}" for name, score in sorted(self.class_scores))]
        later = {
            "--colour_by": self.colour_by if self.colour_by != "class" else None,
            "--crops": f"with a margin of {self.crop_margin:g}" if self.crops else None,
            "--boxes": None if self.boxes else "off",
            "--blur": ", ".join(sorted(self.blur)) or None,
            "--only": self.only if self.only != "all" else None,
            "--iou": f"{self.iou:g}" if self.needs_verdicts else None,
            "--sample": f"{self.sample} of seed {self.seed}" if self.sample is not None else None,
            "--unsampled": self.unsampled if self.unsampled != "hold" else None,
            "--audio": None if self.audio else "off",
            "--codec": self.codec if self.codec != "h264" else None,
            "--max_side": str(self.max_side) if self.max_side is not None else None,
        }
        return {
            "--layout": self.layout,
            "--min_score": ",".join(scores),
            "--crf": str(CODECS[self.codec].crf if self.crf is None else self.crf),
            "--ground_truth": "given" if self.ground_truth else "none",
            "drawing": _DRAWING,
            **{name: text for name, text in later.items() if text is not None},
            **identity_option(self.identity),
        }

    @property
    def needs_verdicts(self) -> bool:
        """Whether detections are compared with the ground truth."""
        return self.only == "errors" or self.colour_by == "verdict"

    @property
    def named_classes(self) -> list[tuple[str, str]]:
        """Every class that an option names: (option, class)."""
        return [*(("--min_score", name) for name, _ in self.class_scores), *(("--blur", name) for name in self.blur)]

    def score_limits(self, labels: Mapping[int, str]) -> ScoreLimits:
        """Which detections are shown, for classes of these names."""
        limits = {class_id: score for name, score in self.class_scores for class_id in ids_of(name, labels)}
        return ScoreLimits(self.min_score, limits)
