"""Watching a folder of exports: which is to be evaluated next, so that none is skipped and they come in order.

An export counts as complete when its model is there and none of its files has changed for `settle_s` between two looks.
It is then kept: given a second name in a folder of ours (`od_core.export_folder.keep`), where a training loop that
deletes its old exports does not reach it. So the backlog can grow as long as it likes. One that is deleted before it is
complete has vanished, one that stays without a model for `patience_s` is incomplete; both are told.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from od_core.errors import UsageError
from od_core.export_folder import Export, Listing, keep, list_exports, remove


def only_checkpoints(folder: str, checkpoints: Sequence[str]) -> str:
    """What to tell of a folder that has training checkpoints where exports should be."""
    return (
        f"{folder}: holds training checkpoints (such as {checkpoints[-1]}), which are weights without a model: boxbeam"
        " cannot run them without the code that made them. Export each of them into a folder with its step in its name"
        " (exporter_main_v2.py, or export_inference_graph.py for TF1), and watch the folder of these; or say with"
        " --export_command how to export one; docs/evaluate-modes.md shows both"
    )


class _Seen(NamedTuple):
    """An export as it was found, and since when it has been so."""

    export: Export
    since: float


class Lost(NamedTuple):
    """An export that will not be evaluated: status and reason as in `state.EndedExport`."""

    export: Export
    status: str
    reason: str


class ExportWatch:
    """The exports of a folder that are not evaluated yet. Any thread may `look`.

    Args:
        folder: that is watched; local.
        kept: folder for the backlog.
        settle_s: for how long a complete export must not have changed.
        patience_s: for how long one without a model may stay unchanged.
        clock: a monotonic clock in seconds.
        listed: what lies in the folder.
        keep: keeps one of these in a folder; see `od_core.export_folder.keep`.
    """

    def __init__(
        self,
        folder: str,
        kept: str,
        *,
        settle_s: float,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        listed: Callable[[str], Listing] = list_exports,
        keep: Callable[[Export, str], str] = keep,
    ):
        self._listed, self._keep_in = listed, keep
        self._folder, self._kept = folder, kept
        self._settle_s, self._patience_s, self._clock = settle_s, patience_s, clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._lost: list[Lost] = []
        self._incomplete: dict[str, str] = {}
        self._backlog = {one.name: one for one in list_exports(kept).exports} if os.path.isdir(kept) else {}
        self.last_news = clock()
        self._checkpoints: list[str] = []

    def look(self, done: Mapping[str, str | None]) -> None:
        """Look at the folder, and keep what is complete.

        Args:
            done: names of exports that have ended; with a fingerprint, only as long as the export is as it was.

        Raises:
            UsageError: the folder cannot be read.
        """
        with self._lock:
            try:
                listing = self._listed(self._folder)
            except OSError as error:
                raise UsageError(f"{self._folder}: cannot be watched ({error.strerror}); is it still there?") from error
            self._checkpoints = listing.checkpoints
            now = self._clock()
            is_done = {**done, **self._incomplete}
            there = {
                one.name: one
                for one in listing.exports
                if one.name not in self._backlog and is_done.get(one.name, "") not in (None, one.fingerprint)
            }
            for name in sorted(self._seen.keys() - there.keys() - self._backlog.keys()):
                self._lose(self._seen[name].export, "vanished", "deleted before it was complete and could be kept")
            self._seen = {name: self._seen_again(one, now) for name, one in there.items()}
            for export, since in list(self._seen.values()):
                if export.has_model and now - since >= self._settle_s:
                    self._keep(export)
                elif not export.has_model and now - since >= self._patience_s:
                    self._lose(export, "incomplete", f"without a model, and unchanged, for {self._patience_s:g} s")

    def _seen_again(self, export: Export, now: float) -> _Seen:
        before = self._seen.get(export.name)
        if before is not None and before.export.fingerprint == export.fingerprint:
            return _Seen(export, before.since)
        self.last_news = now
        return _Seen(export, now)

    def _keep(self, export: Export) -> None:
        try:
            path = self._keep_in(export, self._kept)
        except FileNotFoundError:
            self._lose(export, "vanished", "deleted while it was being kept")
            return
        del self._seen[export.name]
        self._backlog[export.name] = export._replace(path=path)

    def _lose(self, export: Export, status: str, reason: str) -> None:
        if status == "incomplete":
            self._incomplete[export.name] = export.fingerprint
        self._seen.pop(export.name, None)
        self._lost.append(Lost(export, status, reason))
        self.last_news = self._clock()

    def take_lost(self) -> list[Lost]:
        """The exports that were lost since the last call."""
        with self._lock:
            lost, self._lost = self._lost, []
            return lost

    def next(self) -> Export | None:
        """The export to evaluate now, the one of the lowest step; its path is that of the kept one.

        None if there is none, or if one of a lower step is not complete yet.
        """
        with self._lock:
            first = min(self._backlog.values(), default=None)
            waiting = min((seen.export for seen in self._seen.values()), default=None)
            return None if first is None or (waiting is not None and waiting < first) else first

    def warning(self) -> str | None:
        """What to tell of a folder in which there is something, but no export."""
        return only_checkpoints(self._folder, self._checkpoints) if self._checkpoints and not self.waiting() else None

    def waiting(self) -> int:
        """How many are not evaluated, complete or not."""
        with self._lock:
            return len(self._backlog) + len(self._seen)

    def drop(self, name: str) -> None:
        """An export has ended, and was kept elsewhere if it is to stay: give its second name up."""
        with self._lock:
            export = self._backlog.pop(name, None)
            if export is not None:
                remove(export.path)
            self.last_news = self._clock()
