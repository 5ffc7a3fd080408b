"""The end of a run: parts become data files, the manifest is switched, what it no longer names is removed.

A run can be killed anywhere in here. Until the manifest is switched readers see the former dataset, whole; afterwards
they see the new one; what lies about in between is removed by the next run.
"""

import collections
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from od_core import storage
from od_core.errors import StorageError
from pipelines.data_files import Slice, WriteFiles, layouts, write_here
from pipelines.dataset import Dataset
from pipelines.held import Held, HeldFile, HeldOutcomes
from pipelines.items import OUTCOMES, WORST_LAST, Ask, Identity, Outcome, Piece, add_counts
from pipelines.job import Job
from pipelines.joints import counts_for, misfits
from pipelines.lock import Check, always_held
from pipelines.manifest import MANIFEST, DataFile, Manifest
from pipelines.plan import Spans, read_inventory, uncovered
from pipelines.spool import SortedSpool

_FAILED_TOLD = 1000

# From here on several workers write data files sooner than the launcher alone, with the half minute a job costs.
SPREAD_BYTES = 2 << 30


class Finished(NamedTuple):
    """What a finalized output holds.

    Attributes:
        manifest: the manifest, as written.
        failed: of the first inputs that failed, in order of key, the first outcome that did; how many there are, the
            manifest says.
        changed: whether this run changed the dataset.
        removed_inputs: inputs whose rows were dropped: they no longer exist, or are another size or time now.
    """

    manifest: Manifest
    failed: list[Outcome]
    changed: bool
    removed_inputs: int


class Unfinished(NamedTuple):
    """There is more to be done first, all of which the plan knows.

    Attributes:
        unfit: inputs whose pieces do not fit together, which are to be done whole: name and reason of each.
        steps: how many inputs there are whose steps are done, but not the whole.
    """

    unfit: list[tuple[str, str]]
    steps: int


def finalize(
    job: Job,
    ask: Ask,
    spread_files: WriteFiles | None = None,
    held: HeldOutcomes | None = None,
    check: Check = always_held,
) -> Finished | Unfinished:
    """Turn an output whose items are all done into a dataset; where some are to be done again, nothing is changed.

    Memory holds what is said of one input, or of one data file, at a time.

    Args:
        job, ask: what is done, and what was asked for.
        spread_files: writes data files where there are workers for it; used where there is much to write.
        held: what the output has, if that was just read and nothing has been done since.
        check: is called before anything is published or removed, and stops that.

    Raises:
        StorageError: an input has no outcome yet (a worker was lost): the run is to be repeated.
    """
    dataset = Dataset(ask.output)
    manifest = dataset.manifest()
    held = held or HeldOutcomes(job, dataset, None if ask.overwrite else manifest)
    choice = _Choice(job, ask, held, read_inventory(dataset))
    if choice.unfit or choice.begun:
        return Unfinished(choice.unfit, choice.begun)
    _refuse_gaps(choice, ask.output)
    kept = choice.kept
    provenance = dict(manifest.provenance if manifest is not None and kept else job.provenance)
    provenance.update(choice.held.provenance)
    write = spread_files if spread_files and choice.bytes_to_write > SPREAD_BYTES else write_here(dataset.path, job)
    files = [*kept, *write(provenance, layouts(job, choice.slices(), _next_ordinal(kept)))]
    check()
    details = job.publish(dataset.path, manifest, files)
    finished = Manifest(
        job.name, job.schema_version, job.options, provenance, choice.all_counts(), tuple(files), details
    )
    changed = manifest != finished
    place = storage.join(dataset.path, MANIFEST)
    check()
    if changed or storage.stat(place) is None:  # a job may have to remove it before it publishes
        storage.write_text(place, finished.to_text())
    _remove_unnamed(dataset, job, finished)
    return Finished(finished, choice.failed, changed, choice.removed)


class _Choice:
    """Decides what the new dataset is made of.

    Attributes:
        held: all there is.
        inputs: how many inputs are wanted.
        gaps: how many of them have no result, or not all of it; `first_gap` is the key of the first.
        unfit, begun: see Unfinished.
        removed: inputs of the former dataset that are not wanted any more.
        failed: see Finished.
    """

    def __init__(self, job: Job, ask: Ask, held: HeldOutcomes, wanted: Iterable[Identity]):
        self.held = held
        self._retry_failed = ask.retry_failed
        self.inputs = self.gaps = self.begun = self.removed = 0
        self.first_gap = ""
        self.unfit: list[tuple[str, str]] = []
        self.failed: list[Outcome] = []
        self._job = job
        self._counts: dict[str, int] = {}
        self._statuses: collections.Counter[str] = collections.Counter()
        self._taken = SortedSpool(self._take_from_all(wanted))

    @property
    def kept(self) -> list[DataFile]:
        """The data files that stay as they are: all they hold is taken."""
        return [file.data_file for file in self.held.files if file.data_file and _is_kept(file)]

    @property
    def bytes_to_write(self) -> int:
        """How many bytes the rows have that are to be written anew, encoded."""
        return sum(file.bytes for file in self.held.files if file.taken and not (file.data_file and _is_kept(file)))

    def all_counts(self) -> dict[str, int]:
        """How inputs ended (one cut into pieces is failed if a piece is, else done if one is), and the job's counts."""
        statuses = {status: self._statuses[status] for status in OUTCOMES}
        return {"inputs": self.inputs, **statuses, **dict(sorted(self._counts.items()))}

    def slices(self) -> Iterator[Slice]:
        """The rows to be written anew, in order."""
        kept = {file.name for file in self.kept}
        for key, start, path, first_row, number, told in self._taken:
            file = self.held.files[number]
            if file.data_file is None or file.data_file.name not in kept:
                outcome = Outcome.from_json(told)
                yield Slice(key, start, path, first_row, outcome, int(outcome.rows * file.bytes_per_row))

    def _take_from_all(self, wanted: Iterable[Identity]) -> Iterator[tuple[str, int, str, int, int, list[object]]]:
        for identity, is_wanted, here in self.held.by_input((identity, True) for identity in wanted):
            if not is_wanted:
                self.removed += any(self.held.files[one.file].data_file is not None for one in here)
                continue
            self.inputs += 1
            taken = self._take(identity, here)
            for one, outcome in taken:
                file = self.held.files[one.file]
                file.taken += 1
                yield one.key, outcome.piece.start, file.path, one.first_row, one.file, one.told

    def _take(self, identity: Identity, here: Sequence[Held]) -> list[tuple[Held, Outcome]]:
        """What is taken of an input, in order of its pieces.

        A span of it is taken once. Finished rows come first, then parts, and finished rows that say "failed" last: a
        part for the same span exists only because the failure was to be tried again. Where items are whole, a part does
        its pieces anew, whatever was there of them.
        """
        told = [(one, one.outcome) for one in here]
        results = [(one, outcome) for one, outcome in told if not self._job.is_step(outcome.piece)]
        results.sort(key=lambda pair: self._rank(*pair))
        unfit = misfits(outcome for _, outcome in results)
        spans: Spans = []
        taken = []
        for one, outcome in results:
            start, stop = outcome.piece.span
            if counts_for(outcome, unfit) and all(stop <= low or start >= high for low, high in spans):
                spans.append((start, stop))
                taken.append((one, outcome))
        taken.sort(key=lambda pair: (pair[1].piece.start, self.held.files[pair[0].file].path, pair[0].first_row))
        self._note(identity, [outcome for _, outcome in taken], unfit.get(identity))
        self.begun += len(told) > len(results) and all(self._is_to_be_again(*pair) for pair in results)
        return taken

    def _is_to_be_again(self, one: Held, outcome: Outcome) -> bool:
        """Whether it is a former failure, which is there until the whole is done again.

        Steps beside anything else were left by a run that was killed when it was done with them.
        """
        is_former = self.held.files[one.file].data_file is not None
        return self._retry_failed and is_former and outcome.status == "failed"

    def _rank(self, one: Held, outcome: Outcome) -> int:
        if self.held.files[one.file].data_file is None:
            return 0 if self._job.whole_items else 2
        return 3 if outcome.status == "failed" else 1

    def _note(self, identity: Identity, outcomes: Sequence[Outcome], misfit: str | None) -> None:
        if not _is_complete(outcomes):
            self.first_gap = self.first_gap if self.gaps else identity[0]
            self.gaps += 1
            if misfit is not None:
                self.unfit.append((identity[0], misfit))
        if outcomes:
            self._statuses[max((outcome.status for outcome in outcomes), key=WORST_LAST.index)] += 1
        for outcome in outcomes:
            add_counts(self._counts, outcome.counts)
        failed = next((outcome for outcome in outcomes if outcome.status == "failed"), None)
        if failed is not None and len(self.failed) < _FAILED_TOLD:
            self.failed.append(failed)


def _is_kept(file: HeldFile) -> bool:
    return 0 < file.outcomes == file.taken


def _is_complete(outcomes: Sequence[Outcome]) -> bool:
    """Whether nothing of an input is missing."""
    spans: dict[Piece, Spans] = collections.defaultdict(list)
    for outcome in outcomes:
        source, start, stop, total = outcome.piece
        if outcome.piece.is_whole:
            return True
        spans[Piece(source, 0, total, total)].append((start, stop))
    return any(not any(uncovered(whole, taken)) for whole, taken in spans.items())


def _refuse_gaps(choice: _Choice, output: str) -> None:
    if choice.gaps:
        more = f" and {choice.gaps - 1} more" if choice.gaps > 1 else ""
        raise StorageError(
            f"{output}: {choice.first_gap}{more} of {choice.inputs} inputs have no result: a worker was lost. Nothing"
            " is published; repeat the command, it continues where this run stopped"
        )


def _next_ordinal(files: Iterable[DataFile]) -> int:
    return max((int(file.name.split("-")[1]) + 1 for file in files), default=0)


def _remove_unnamed(dataset: Dataset, job: Job, manifest: Manifest) -> None:
    """Remove parts, and data files of ours that the manifest does not name; other people's files stay."""
    named = {file.name for file in manifest.files}
    ours = re.compile(rf"{re.escape(job.table)}-\d{{5}}-[0-9a-f]{{12}}\.parquet")
    names = [name for name in storage.names_in(dataset.path) if ours.fullmatch(name) and name not in named]
    storage.remove([storage.join(dataset.path, name) for name in names])
    storage.remove_leftovers(dataset.path)
    storage.remove_folder(dataset.parts)  # first: a part that a kill leaves alone would be without what belongs to it
    storage.remove_folder(dataset.work)
