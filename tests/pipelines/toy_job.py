"""A job without images: it counts the lines of text files, and does what a file tells it to do to its process."""

import ctypes
import dataclasses
import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from od_core import storage
from od_core.errors import UsageError
from pipelines import sources
from pipelines.executor import Work
from pipelines.grouping import ItemLimit, by_limits
from pipelines.items import Ask, Failure, Item, Outcome, Piece, Source
from pipelines.job import Spread, Watch, Worker
from pipelines.manifest import DataFile, Manifest
from pipelines.parts import RowWriter
from pipelines.sources import Found, Wanted

SCHEMA = pa.schema([("key", pa.string()), ("line", pa.int64()), ("text", pa.string()), ("error", pa.string())])


@dataclasses.dataclass(frozen=True)
class ToyJob:
    """Rows of text files, one per line. A file's first line can be an order: see `_obey`.

    `diary`: a folder in which every opening and closing of a worker and every item leaves a line, per process.
    `steps`: ranges of a file only leave step-KEY-START.txt; the whole file is read from those there are.
    `whole_items`: every item also makes one file, heap-KEY.txt, of the lines of all its pieces.
    """

    diary: str = ""
    lines_per_piece: int = 0
    files_per_item: int = 4
    seconds_per_file: float = 0.0
    upper: bool = False
    on_open: str = ""
    whole_items: bool = False
    steps: bool = False

    failed_counts: ClassVar[Mapping[str, int]] = {}

    name = "count"
    table = "lines"
    schema = SCHEMA
    schema_version = "toy.lines/1"
    provenance: Mapping[str, object] = dataclasses.field(default_factory=lambda: {"toy": True})

    @property
    def options(self) -> Mapping[str, str]:
        return {"--upper": str(self.upper)}

    def check(self, ask: Ask) -> None:
        sources.check(ask.inputs, WANTED)

    def find(self, ask: Ask) -> Found:
        return sources.match(ask.inputs, WANTED)

    def cut(self, source: Source) -> Sequence[Piece]:
        if not self.lines_per_piece or source.size == 0:
            return [Piece(source)]
        grid = range(0, source.size, self.lines_per_piece)
        return [Piece(source, at, min(at + self.lines_per_piece, source.size), source.size) for at in grid]

    def is_step(self, piece: Piece) -> bool:
        return self.steps and piece.total > 1

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        return by_limits(pieces, {"text": ItemLimit(self.files_per_item, 1 << 20)})

    def spread(self, workers: int) -> Spread:
        return Spread(workers, 1)

    def open_worker(self, output: str, threads: int) -> Worker:
        return ToyWorker(self, output)

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        return _rows([(piece.source.key, None, None, f"{failure.type}: {failure.message}")])

    def publish(self, output: str, former: Manifest | None, files: Sequence[DataFile]) -> Mapping[str, Any]:
        staged = sorted(pathlib.Path(output, "_work").glob("heap-*.txt"))
        for heap in staged:
            heap.rename(pathlib.Path(output, heap.name))
        return (
            {"heaps": sorted(heap.name for heap in pathlib.Path(output).glob("heap-*.txt"))}
            if staged or not former
            else former.details
        )


class ToyWorker:
    provenance: Mapping[str, object] = {"opened": True}

    def __init__(self, job: ToyJob, output: str):
        self.job = job
        self.output = output
        self.note("open")
        if job.on_open == "refuse":
            raise UsageError("the worker refuses to open")
        _obey([job.on_open])

    def note(self, text: str) -> None:
        if self.job.diary:
            with open(pathlib.Path(self.job.diary, str(os.getpid())), "a") as file:
                file.write(text + "\n")

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        condemned = dict(item.condemned)
        heap: list[str] = []
        for piece in item.pieces:
            if piece in condemned:
                rows.write(self.job.failed_rows(piece, condemned[piece]))
                rows.finish(Outcome(piece, "failed", 1, error=condemned[piece].message))
                continue
            watch.begin(piece)
            self.note(f"item {piece}")
            time.sleep(self.job.seconds_per_file)
            content = storage.read_bytes(piece.source.uri)
            if self.job.is_step(piece):
                part = content[piece.start : piece.stop].decode()
                _obey([part.rstrip()])
                storage.write_text(self._step(piece.source.key, piece.start), part)
                rows.finish(Outcome(piece, "done", 0))
                watch.end(piece)
                continue
            steps = [self._step(piece.source.key, at) for at in range(piece.source.size)] if self.job.steps else []
            if any(map(storage.stat, steps)):
                lines = [storage.read_bytes(path).decode().rstrip() for path in steps if storage.stat(path)]
            elif piece.total > 1:
                lines = [chr(b) for b in content[piece.start : piece.stop]]
            else:
                lines = content.decode().splitlines()
            if lines[:1] == ["bad"]:
                rows.write(_rows([(piece.source.key, None, None, "bad input")]))
                rows.finish(Outcome(piece, "failed", 1, error="bad input"))
            else:
                _obey(lines)
                heap += lines
                if self.job.upper:
                    lines = [line.upper() for line in lines]
                rows.write(_rows([(piece.source.key, piece.start + n, line, None) for n, line in enumerate(lines)]))
                rows.finish(Outcome(piece, "done" if lines else "empty", len(lines), {"lines": len(lines)}))
            watch.advance({"lines": len(lines)}, piece.weight)
            watch.end(piece)
        if self.job.whole_items:
            name = f"heap-{item.pieces[0].source.key.removesuffix('.t')}.txt"
            storage.write_text(storage.join(self.output, "_work", name), "\n".join(heap))

    def _step(self, key: str, start: int) -> str:
        return storage.join(self.output, "_work", f"step-{key}-{start}.txt")

    def close(self) -> None:
        self.note("close")


def _obey(lines: list[str]) -> None:
    match lines[:1]:
        case ["crash"]:
            ctypes.string_at(0)
        case ["hang in c"]:
            ctypes.PyDLL(None).sleep(3600)  # holds the GIL
        case ["hang"]:
            time.sleep(3600)
        case ["eat"]:
            hoard = [bytearray(64 << 20) for _ in range(1000)]
            raise AssertionError(f"64 GB were to be had: {len(hoard)}")
        case ["raise"]:
            raise RuntimeError("as told")
        case ["turnstile"]:  # lets so many items through, the others when the gate is open
            free, diary, gate = int(lines[1]), pathlib.Path(lines[2]), pathlib.Path(lines[3])
            while not gate.exists() and _items_begun(diary) > free:
                gate.with_name(f"waiting-{os.getpid()}").touch()
                time.sleep(0.05)


def _items_begun(diary: pathlib.Path) -> int:
    return sum(page.read_text().count("item ") for page in diary.iterdir())


def _kind(path: str) -> str | None:
    return "text" if path.endswith(".t") else None


WANTED = Wanted(_kind, "text files (.t)")


def _rows(rows: list[tuple[str, int | None, str | None, str | None]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def toy_work(inputs: list[str], output: object, job: ToyJob, **changes: object) -> Work:
    """A Work with the settings a test wants."""
    ask = {k: changes.pop(k) for k in ("overwrite", "retry_failed", "allow_removed") if k in changes}
    settings = {
        "spread": Spread(2, 1),
        "isolation": "process",
        "stall_seconds": 60.0,
        "memory_bytes": None,
        "run_id": "toy",
        **changes,
    }
    return Work(job=job, ask=Ask(tuple(inputs), str(output), **ask), **settings)  # type: ignore[arg-type]
