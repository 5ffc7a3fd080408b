"""MegaDetector's results file, format version 1.6, which camera-trap tools such as Timelapse and AddaxAI read.

https://lila.science/megadetector-output-format: one JSON object; boxes are [x, y, width, height] in units of the image;
an image that could not be looked at has "detections": null and says why in "failure"; a video is one entry, its
detections say in which frame they are.
"""

import array
import json
import pathlib
from collections.abc import Sequence
from typing import TextIO

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import Classes, number

FORMAT_VERSION = "1.6"

_NO_RATE = 1.0


class MegaDetectorExporter:
    """Writes one file. Frames of a video must follow each other.

    Args:
        detector: the model's name, for `info.detector`.
    """

    def __init__(self, path: pathlib.Path, classes: Classes, detector: str):
        self._file: TextIO = open(path, "w", encoding="utf-8")  # noqa: SIM115  # closed in close()
        self._is_first = True
        self._video: _Video | None = None
        self._without_rate = self._lost_stretches = 0
        info = {"format_version": FORMAT_VERSION, "detector": detector}
        categories = {str(class_id): name for class_id, name in classes.items()}
        self._file.write(f'{{"info": {_json(info)},\n"detection_categories": {_json(categories)},\n"images": [')

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        if frame.kind == "video":
            self._video_of(frame).add(frame, _listed(found, frame.frame_index))
            return
        self._begin(frame.key)
        self._file.write(f', "detections": [{", ".join(_listed(found))}]}}')

    def failed(self, frame: DetectedFrame) -> None:
        """See Exporter."""
        message = frame.error.message if frame.error else "failed"
        if frame.kind == "video":
            self._video_of(frame).failures.append(message)
            return
        self._begin(frame.key)
        self._file.write(f', "failure": {_json(message)}, "detections": null}}')

    def _begin(self, key: str) -> None:
        self._end_video()
        self._file.write(f'{"" if self._is_first else ","}\n{{"file": {_json(key)}')
        self._is_first = False

    def _video_of(self, frame: DetectedFrame) -> "_Video":
        place = (frame.key, frame.source)
        if self._video is None or self._video.place != place:
            self._begin(frame.key)
            self._video = _Video(self._file, place)
        return self._video

    def _end_video(self) -> None:
        video, self._video = self._video, None
        if video is None:
            return
        if not video.frames:
            # The format wants both of every video.
            self._file.write(
                f', "failure": {_json(video.failures[0])}, "detections": null, "frames_processed": [],'
                f' "frame_rate": {number(_NO_RATE)}}}'
            )
            return
        rate = video.rate()
        self._without_rate += rate is None
        self._lost_stretches += len(video.failures)
        self._file.write(
            f'], "frames_processed": {_json(video.frames.tolist())}, "frame_rate": {number(rate or _NO_RATE)}}}'
        )

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self._end_video()
        self._file.write("\n]}\n")
        self.close()
        notes = []
        if self._without_rate:
            notes.append(f"{self._without_rate:,} videos do not tell their frame rate: {_NO_RATE:g} is written")
        if self._lost_stretches:
            notes.append(f"{self._lost_stretches:,} frames or stretches of videos failed, which the format cannot say")
        return notes

    def close(self) -> None:
        """See Exporter."""
        self._file.close()


class _Video:
    """The video at hand: its detections go to the file at once, the numbers of its frames are kept for the end.

    Attributes:
        place: key and source.
        frames: the numbers of those that were looked at.
        failures: messages.
    """

    def __init__(self, file: TextIO, place: tuple[str, str]):
        self.place = place
        self.frames = array.array("q")
        self.failures: list[str] = []
        self._file = file
        self._is_first = True
        self._first: tuple[int, int] | None = None  # frame and microsecond of those that have both
        self._last: tuple[int, int] | None = None

    def add(self, frame: DetectedFrame, listed: Sequence[str]) -> None:
        index = frame.frame_index or 0
        if not self.frames:
            self._file.write(', "detections": [')
        self.frames.append(index)
        if frame.timestamp_us is not None:
            self._last = (index, frame.timestamp_us)
            self._first = self._first or self._last
        if listed:
            self._file.write(f"{'' if self._is_first else ', '}{', '.join(listed)}")
            self._is_first = False

    def rate(self) -> float | None:
        """Frames per second on average, from the first to the last frame looked at; None where times do not tell."""
        if self._first is None or self._last is None or self._last[1] <= self._first[1]:
            return None
        frames = self._last[0] - self._first[0]
        return frames * 1e6 / (self._last[1] - self._first[1]) if frames > 0 else None


def _listed(found: Detections, frame_index: int | None = None) -> list[str]:
    place = "" if frame_index is None else f', "frame_number": {frame_index}'
    columns = (found.classes.tolist(), found.boxes.astype(float).tolist(), found.scores.tolist())
    return [
        f'{{"category": "{class_id}", "conf": {number(score)},'
        f' "bbox": [{number(xmin)}, {number(ymin)}, {number(xmax - xmin)}, {number(ymax - ymin)}]{place}}}'
        for class_id, (ymin, xmin, ymax, xmax), score in zip(*columns, strict=True)
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
