"""What a watch has evaluated so far: watch.json, written anew after every export, so that a restart continues.

{"boxbeam": "watch/1",
 "options": {"--ground_truth": "...", "--split": "train,val", ...}      what changes the numbers
 "exports": [{"name": "export_1200", "step": 1200, "status": "evaluated", "reason": null, "fingerprint": "9f...",
              "numbers": {"train": {"DetectionBoxes_Precision/mAP": 0.6, ...}, "val": {...}}}, ...]}    as they ended
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from od_core import storage
from od_core.errors import OutputError, UsageError
from pipelines.evaluate.splits import Numbers, is_defined

STATE_FILE = "watch.json"
_VERSION = "watch/1"

STATUSES = ("evaluated", "failed", "vanished", "incomplete")


class EndedExport(NamedTuple):
    """How one export ended.

    Attributes:
        name, step, fingerprint: of the export.
        status: evaluated; failed (the model, or its evaluation); vanished (deleted before it could be kept);
            incomplete (no model came).
        reason: why, of all but evaluated ones.
        numbers: split -> overall numbers ("" for all images as one), of evaluated ones.
    """

    name: str
    step: int
    fingerprint: str
    status: str
    reason: str | None = None
    numbers: Mapping[str, Numbers] = {}


class Best(NamedTuple):
    """The export with the highest value of a metric."""

    export: EndedExport
    value: float

    @property
    def rank(self) -> tuple[float, int, str]:
        """The lowest is the best: of equal values that of the lower step."""
        return -self.value, self.export.step, self.export.name


class WatchState:
    """The exports that have ended, in the order in which they did.

    Args:
        path: of watch.json.
        options: what changes the numbers, by the name a person knows it by.

    Raises:
        UsageError: the file is of a watch with other options, or is none.
    """

    def __init__(self, path: str, options: Mapping[str, str]):
        self._path, self._options = path, dict(options)
        self.exports: dict[str, EndedExport] = {}
        if storage.stat(path) is not None:
            self._load()

    def _load(self) -> None:
        try:
            document: dict[str, Any] = json.loads(storage.read_bytes(self._path))
            if document["boxbeam"] != _VERSION:
                raise ValueError(f"not of version {_VERSION}")
            exports = [EndedExport(**one) for one in document["exports"]]
            before: dict[str, str] = dict(document["options"])
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self._path}: not what a watch wrote ({error}); choose another --output, or remove the file"
            ) from error
        changes = [
            f"{name} was {before.get(name, 'not there')}, now {self._options.get(name, 'not there')}"
            for name in sorted(before | self._options)
            if before.get(name) != self._options.get(name)
        ]
        if changes:
            raise UsageError(
                f"{self._path}: this watch was started with other options: {'; '.join(changes)}. Numbers of both would"
                " not belong together: repeat the former options, or choose another --output"
            )
        self.exports = {one.name: one for one in exports}

    def add(self, ended: EndedExport) -> None:
        """An export has ended; kept on disk when this returns."""
        self.exports[ended.name] = ended
        self._save()

    def forget_failed(self) -> list[str]:
        """Let exports that failed, or were incomplete, be tried again; returns their names."""
        names = [one.name for one in self.exports.values() if one.status in ("failed", "incomplete")]
        for name in names:
            del self.exports[name]
        if names:
            self._save()
        return names

    def _save(self) -> None:
        document = {
            "boxbeam": _VERSION,
            "options": self._options,
            "exports": [one._asdict() for one in self.exports.values()],
        }
        storage.write_text(self._path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def done(self) -> dict[str, str | None]:
        """Names of exports that are not to be evaluated, as `ExportWatch.look` takes them.

        One that vanished may come back, and one that was incomplete may yet be finished.
        """
        return {
            one.name: one.fingerprint if one.status == "incomplete" else None
            for one in self.exports.values()
            if one.status != "vanished"
        }

    def evaluated(self) -> Iterator[EndedExport]:
        """Those that have numbers."""
        return (one for one in self.exports.values() if one.status == "evaluated")

    def count(self, status: str) -> int:
        """How many ended so."""
        return sum(one.status == status for one in self.exports.values())

    def best(self, metric: str, split: str) -> Best | None:
        """The export with the highest value; of equal ones the one of the lower step."""
        values = [(one.numbers[split].get(metric), one) for one in self.evaluated()]
        found = [Best(one, value) for value, one in values if is_defined(value)]
        return min(found, key=lambda best: best.rank, default=None)
