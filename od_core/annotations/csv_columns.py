"""Which column of a table means what.

    filename,width,height,class,xmin,ymin,xmax,ymax      the common header; names in any case, in any order

Width and height, and everything in `OPTIONAL`, can be absent; the confidence may be called score, as boxbeam export
writes it. Other headers need to be told: a mapping from these
names to those of the file, such as {"filename": "image", "class": "label"}. Numbers instead, {"filename": "1", ...},
are the places of the columns, counted from 1, in a file without a header.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from od_core.closest_name import closest_name, did_you_mean
from od_core.errors import UsageError

EDGES = ("ymin", "xmin", "ymax", "xmax")
# In place of xmax and ymax.
EXTENTS = {"xmax": "box_width", "ymax": "box_height"}
FLAGS = ("difficult", "is_crowd", "group_of", "truncated", "occluded", "depiction")
OPTIONAL = ("width", "height", *FLAGS, "area", "confidence", "view", "source_id", "split")
NAMES = ("filename", "class", *EDGES, *EXTENTS.values(), *OPTIONAL)

_SCORE = "score"

# What other tools call columns: only ever proposed, never taken.
_OTHER_NAMES = {
    "filename": ("image", "file", "file_name", "image_path", "path", "img", "image_name", "image_id", "imageid"),
    "class": ("label", "class_name", "name", "category", "cell_type", "labelname"),
    "xmin": ("x1", "x_min", "left", "x", "bbox_x"),
    "ymin": ("y1", "y_min", "top", "y", "bbox_y"),
    "xmax": ("x2", "x_max", "right"),
    "ymax": ("y2", "y_max", "bottom"),
    "box_width": ("w", "bbox_width", "bbox_w"),
    "box_height": ("h", "bbox_height", "bbox_h"),
}


class Columns(NamedTuple):
    """places: of the columns by their meaning, from 0; total: of all columns, 0 without a header."""

    places: Mapping[str, int]
    total: int


def find_columns(origin: str, header: Sequence[str], given: Mapping[str, str]) -> Columns:
    """Where the columns are.

    Args:
        origin: the file's name, for messages.
        header: the fields of the first row.
        given: see the module; what it does not name is looked for by its own name.

    Raises:
        UsageError: a name in `given` that is none, or a column that is not there or there twice.
    """
    for meaning in given:
        if meaning not in NAMES:
            raise UsageError(
                f"--csv_columns: {meaning!r} is not something that boxbeam reads from a table"
                f"{did_you_mean(meaning, NAMES, quoted=True)}; it reads {', '.join(NAMES)}"
            )
    if given and all(column.isdecimal() for column in given.values()):
        places = {meaning: int(column) - 1 for meaning, column in given.items()}
        wrong = next((name for name, place in places.items() if not 0 <= place < len(header)), None)
        if wrong:
            raise UsageError(
                f"{origin}: --csv_columns {wrong}={given[wrong]}, but the first line has {len(header)} columns, "
                "counted from 1"
            )
        columns = Columns(places, 0)
    else:
        columns = Columns(_by_name(origin, header, given), len(header))
    _check(origin, header, columns.places)
    return columns


def _by_name(origin: str, header: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    lower = [name.lower() for name in header]
    places = {}
    for meaning in NAMES:
        wanted = given.get(meaning, meaning)
        found = [place for place, name in enumerate(lower) if name == wanted.lower()]
        if not found and meaning == "confidence" and meaning not in given and lower.count(_SCORE) == 1:
            found = [lower.index(_SCORE)]
        if len(found) > 1:
            raise UsageError(f"{origin}: two columns are called {wanted!r}; rename one")
        if found:
            places[meaning] = found[0]
        elif meaning in given:
            raise UsageError(
                f"{origin}: there is no column {wanted!r} (--csv_columns {meaning}={wanted})"
                f"{did_you_mean(wanted, header, quoted=True)}; its columns: {_listed(header)}"
            )
    return places


def _check(origin: str, header: Sequence[str], places: Mapping[str, int]) -> None:
    missing = [name for name in ("filename", "class", "xmin", "ymin", "xmax", "ymax") if name not in places]
    missing = [name for name in missing if EXTENTS.get(name) not in places]
    if not missing:
        return
    proposed = _proposed(missing, header)
    if proposed:
        advice = f"; perhaps it is --csv_columns {','.join(f'{mine}={theirs}' for mine, theirs in proposed.items())}"
    else:
        advice = "; say which they are with --csv_columns, such as filename=image,class=label"
    raise UsageError(
        f"{origin}: no column{'s' * (len(missing) > 1)} {', '.join(missing)}, expected a table of boxes with"
        f" filename, class, xmin, ymin, xmax, ymax{advice}. Its columns: {_listed(header)}"
    )


def _proposed(missing: Sequence[str], header: Sequence[str]) -> dict[str, str]:
    """The file's columns that probably are the missing ones; empty unless there is one for each."""
    by_lower = {name.lower(): name for name in header}
    found = {}
    for meaning in missing:
        for candidate in (meaning, EXTENTS.get(meaning, "")):
            theirs = next((by_lower[name] for name in _OTHER_NAMES.get(candidate, ()) if name in by_lower), None)
            if theirs is None and candidate:
                theirs = closest_name(candidate, header, cutoff=0.75)
            if theirs is not None:
                found[candidate] = theirs
                break
        else:
            return {}
    return found


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(" ".join(name.split())[:40] for name in header[:12])  # quoted names can have ends of lines
    return f"{shown}{', ...' * (len(header) > 12)}" or "none"
