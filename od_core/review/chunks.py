"""Data for pages that are opened from disk: there, scripts are all that a page may load, so data are calls in scripts.

boxbeam.index(0, [...]);
"""

import json
import pathlib


def write_call(path: pathlib.Path, function: str, *arguments: object) -> None:
    """Write a script that calls `boxbeam.FUNCTION` with values; whatever text is in them stays text.

    Everything beyond ASCII is escaped, and "<" too: no label ends the script or begins a tag, wherever it is put.
    """
    values = ",".join(json.dumps(argument, separators=(",", ":"), allow_nan=False) for argument in arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"boxbeam.{function}({values.replace('<', chr(92) + 'u003c')});\n", encoding="ascii")


def rounded(x: float) -> float:
    """A coordinate or score as pages show it: four digits, and whole numbers without a fraction."""
    y = round(x, 4)
    return int(y) if y == int(y) else y
