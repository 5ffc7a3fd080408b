"""Finding the inputs: files, folders, patterns and list files become sources, sorted by key."""

import collections
import functools
import io
import itertools
import operator
import os
import posixpath
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from od_core import storage
from od_core.closest_name import did_you_mean_path
from od_core.errors import UsageError
from od_core.storage import FileInfo
from pipelines.content import by_content
from pipelines.items import Source
from pipelines.ordered import ordered_map
from pipelines.spool import SortedSpool

_REMOTE_LOOKS = 32


class Wanted(NamedTuple):
    """What a job takes as input.

    Attributes:
        kind_of: what a file is, by its path; None for a file the job has no use for.
        words: the same for a person: "images, videos or TFRecord files".
        missing: what a file without an extension is taken for that a list names and that is not there.
    """

    kind_of: Callable[[str], str | None]
    words: str
    missing: str | None = None


def no_preparation(output: str) -> None:
    """Workers need to know nothing beside their items."""


class Found(NamedTuple):
    """The inputs of a run.

    Attributes:
        sources: sorted by key.
        ignored: how many other files were passed over, by extension.
        prepare: called once with the output folder before items run: writes what workers need into its `_work`.
    """

    sources: Collection[Source]
    ignored: dict[str, int]
    prepare: Callable[[str], None] = no_preparation


class _Hit(NamedTuple):
    root: str
    info: FileInfo
    is_missing: bool = False

    def kind(self, wanted: Wanted) -> str | None:
        """What it is for a job; None for nothing."""
        could_be_any = self.is_missing and not _extension(self.info.path)
        return wanted.kind_of(self.info.path) or (wanted.missing if could_be_any else None)


def match(inputs: Sequence[str], wanted: Wanted, *, identity: str = "time") -> Found:
    """Find every input.

    Args:
        inputs: each a file, a folder (walked), a pattern with `*`, `?`, `[ab]` or `**`, or a `.txt` list of files.
        wanted: which files count; others in folders and patterns are passed over.
        identity: one of `content.IDENTITIES`; for "content" every byte of every input is read.

    Raises:
        UsageError: a path that does not exist, nothing of use in it, or two inputs of the same key.
    """
    ignored: collections.Counter[str] = collections.Counter()
    sources = SortedSpool(_sources(inputs, wanted, ignored))
    if len(inputs) > 1 or any(_is_list(given, wanted) for given in inputs):
        sources = _without_repeats(sources)
    _refuse_equal_keys(sources)
    if identity == "content":
        sources = SortedSpool(by_content(sources))
    return Found(sources, dict(ignored))


def _sources(inputs: Sequence[str], wanted: Wanted, ignored: collections.Counter[str]) -> Iterator[Source]:
    """Every input as it is found; other files are counted in `ignored`."""
    for given in inputs:
        found_any = False
        for hit in _find(given, wanted):
            kind, info = hit.kind(wanted), hit.info
            if kind is None:
                ignored[_extension(info.path)] += 1
                continue
            found_any = True
            yield Source(_key(hit.root, info.path), info.path, kind, info.size, info.mtime_ms)
        if not found_any:
            raise UsageError(_nothing_found(given, wanted, ignored))


def check(inputs: Sequence[str], wanted: Wanted) -> None:
    """Refuse in the first moments what `match` would refuse later: looks only until the first useful file.

    Raises:
        UsageError: as `match`, but for equal keys.
    """
    for given in inputs:
        ignored: collections.Counter[str] = collections.Counter()
        for hit in _find(given, wanted):
            if hit.kind(wanted) is not None:
                break
            ignored[_extension(hit.info.path)] += 1
        else:
            raise UsageError(_nothing_found(given, wanted, ignored))


def _find(given: str, wanted: Wanted) -> Iterator[_Hit]:
    info = storage.stat(given)
    if info is not None:
        if wanted.kind_of(given) is not None:
            yield _Hit(posixpath.dirname(given), info)
        elif _is_list(given, wanted):
            yield from _listed(given)
        else:
            raise UsageError(
                f"{given}: not an input this job knows ({_extension(given) or 'no extension'}); give"
                f" {wanted.words}, a folder or pattern of them, or a .txt file that lists them"
            )
    elif storage.is_folder(given):
        for info in storage.walk(given):
            yield _Hit(given, info)
    elif storage.has_wildcard(given):
        folder, infos = storage.glob(given)
        found_any = False
        for info in infos:
            found_any = True
            yield _Hit(folder, info)
        if not found_any:
            raise UsageError(f"{given}: this pattern matches no file; quote it, so that the shell leaves it alone")
    else:
        raise UsageError(f"{given}: no such file or folder{did_you_mean_path(given)}")


def _is_list(given: str, wanted: Wanted) -> bool:
    """Whether an input is a file that lists others."""
    return _extension(given) == ".txt" and storage.stat(given) is not None and wanted.kind_of(given) is None


def _listed(list_file: str) -> Iterator[_Hit]:
    """The files a list names, one a line; relative ones start at the list's folder; `#` begins a comment line."""
    folder = posixpath.dirname(list_file)
    names = _lines(list_file)
    first = next(names, None)
    if first is None:
        return

    def look(name: str) -> _Hit:
        path = name if storage.is_remote(name) else posixpath.normpath(posixpath.join(folder, storage.local_path(name)))
        info = storage.stat(path)
        if info is None and storage.is_folder(path):
            raise UsageError(f"{list_file}: names the folder {name}, and a list names files: give it as an --input too")
        # A missing file is still an input: it ends as failed, by name, instead of vanishing from the count.
        return _Hit(folder, info or FileInfo(path, 0, 0), is_missing=info is None)

    names = itertools.chain((first,), names)
    if storage.is_remote(first) or storage.is_remote(folder):
        with ThreadPoolExecutor(_REMOTE_LOOKS) as threads:  # each look is a journey
            yield from ordered_map(look, names, threads, ahead=2 * _REMOTE_LOOKS)
    else:
        yield from map(look, names)


def _lines(list_file: str) -> Iterator[str]:
    with io.TextIOWrapper(storage.open_input(list_file), "utf-8-sig") as file:
        try:
            for line in file:
                name = line.strip()
                if name and not name.startswith("#"):
                    yield name
        except UnicodeDecodeError as error:
            raise UsageError(f"{list_file}: a list of inputs must be UTF-8 text, one path a line ({error})") from error


def _key(root: str, path: str) -> str:
    root = root.rstrip("/") + "/" if root else ""
    relative = path[len(root) :] if path.startswith(root) else posixpath.normpath(path).lstrip("/")
    while relative.startswith("../"):
        relative = relative[3:]
    return _shown(relative)


def _shown(path: str) -> str:
    """A path as keys have it: valid Unicode, of one form."""
    return unicodedata.normalize("NFC", storage.printable(path))


def _extension(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _without_repeats(sources: Iterable[Source]) -> SortedSpool[Source]:
    """The same file reached through two inputs, or named twice in a list, counts once, by the key that sorts first."""
    by_place = SortedSpool((_place(source.uri), source) for source in sources)
    return SortedSpool(next(same)[1] for _, same in itertools.groupby(by_place, operator.itemgetter(0)))


def _place(uri: str) -> str:
    """Where a file really lies."""
    if storage.is_remote(uri):
        return uri
    path = storage.local_path(uri)
    folder, name = os.path.split(path)
    return os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(folder), name)


_real_folder = functools.lru_cache(maxsize=1024)(os.path.realpath)


def _refuse_equal_keys(sources: Iterable[Source]) -> None:
    for first, second in itertools.pairwise(sources):
        if first.key == second.key:
            places = f"{first.uri} and {second.uri}"
            way_out = "Give their common parent folder as one --input, or run them into two outputs"
            if _shown(first.uri) == _shown(second.uri):
                places = f"{first.uri!a} and {second.uri!a}"
                way_out = (
                    "They differ in how Unicode writes a letter, or in bytes that are not UTF-8: rename one of them"
                )
            raise UsageError(f"two inputs would both be called {first.key!r}: {places}. {way_out}")


def _nothing_found(given: str, wanted: Wanted, ignored: Mapping[str, int]) -> str:
    most = sorted(ignored.items(), key=lambda pair: -pair[1])[:6]
    seen = ", ".join(f"{count} {extension or 'without extension'}" for extension, count in most)
    return f"{given}: no {wanted.words} in there" + (f" (found: {seen})" if seen else " (it is empty)")
