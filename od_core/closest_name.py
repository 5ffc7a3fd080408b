"""What to say to a person who misspelt a name: the one that was probably meant."""

import difflib
import os
import posixpath
from collections.abc import Iterable

from od_core import storage


def closest_name(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name most like a word, whatever their case; None if none is like it.

    Args:
        cutoff: how like, from 0 to 1 (all letters in their order); of equally like ones the first is taken.
    """
    by_folded: dict[str, str] = {}
    for name in known:
        by_folded.setdefault(name.casefold(), name)
    close = difflib.get_close_matches(word.casefold(), by_folded, 1, cutoff)
    return by_folded[close[0]] if close else None


def did_you_mean(
    word: str,
    known: Iterable[str],
    *,
    otherwise: str = "",
    lead: str = "; ",
    quoted: bool = False,
    cutoff: float = 0.6,
) -> str:
    """The end of a message about an unknown word, such as "; did you mean dog?".

    Args:
        otherwise: what to say instead if no known name is like it.
        lead: goes before whatever is said; where nothing is, the answer is empty.
        quoted: put quotation marks round the name.
        cutoff: see `closest_name`.
    """
    name = closest_name(word, known, cutoff=cutoff)
    said = otherwise if name is None else f"did you mean {name!r}?" if quoted else f"did you mean {name}?"
    return lead + said if said else ""


def did_you_mean_path(path: str) -> str:
    """As `did_you_mean`, for a path at which there is nothing: its neighbours, where they are on a local disk."""
    if storage.is_remote(path):
        return ""
    folder, name = posixpath.split(storage.local_path(path).rstrip("/"))
    there = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    # A link to nothing is there, and is not what was meant.
    close = closest_name(name, (other for other in there if other != name))
    return f"; did you mean {posixpath.join(folder, close)}?" if close else ""
