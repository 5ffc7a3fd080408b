"""`--identity content`: inputs are told apart by their bytes instead of by their time."""

import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from od_core import storage
from od_core.errors import BoxbeamError
from pipelines.items import Source
from pipelines.ordered import ordered_map

IDENTITIES = ("time", "content")
"""What beside key and size makes an input the same input."""

_CHUNK_BYTES = 1 << 20
_REMOTE_LOOKS = 32
_UNREADABLE = 0  # a fault of that input, told when its turn comes


def identity_option(identity: str) -> Mapping[str, str]:
    """How a job's options name it: what changes nothing is left out, so that older outputs can be continued."""
    return {} if identity == "time" else {"--identity": identity}


def content_version(uri: str, stopped: threading.Event | None = None) -> int:
    """63 bits of the BLAKE2b digest of a file's bytes; a fixed number where they cannot be read.

    Args:
        uri: on any file system.
        stopped: when set, the rest is not read, and the number means nothing.
    """
    digest = hashlib.blake2b(digest_size=8)
    try:
        with storage.open_input(uri) as file:
            while (chunk := file.read(_CHUNK_BYTES)) and not (stopped and stopped.is_set()):
                digest.update(chunk)
    except (OSError, BoxbeamError):
        return _UNREADABLE
    return int.from_bytes(digest.digest()) >> 1


def content_versions(uris: Iterable[str]) -> Iterator[int]:
    """`content_version` of each in order, several at a time: a core's worth each, remote ones by the dozen."""
    stopped = threading.Event()
    uris = iter(uris)
    first = next(uris, None)
    if first is None:
        return
    count = _REMOTE_LOOKS if storage.is_remote(first) else len(os.sched_getaffinity(0))
    every = itertools.chain((first,), uris)
    with ThreadPoolExecutor(count, "boxbeam-digest") as threads:
        try:
            yield from ordered_map(lambda uri: content_version(uri, stopped), every, threads, ahead=2 * count)
        finally:
            stopped.set()  # Ctrl-C is not to wait for a film to be read


def by_content(sources: Iterable[Source]) -> Iterator[Source]:
    """These sources with their bytes for a version; their time is kept, to see whether they change meanwhile."""
    twice = itertools.tee(sources)
    for source, version in zip(twice[0], content_versions(source.uri for source in twice[1]), strict=True):
        yield source._replace(version=version, modified_ms=source.version)
