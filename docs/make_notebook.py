"""Make examples/chain.ipynb of examples/chain.py, with what it prints and shows: python docs/make_notebook.py.

The script is in the percent format that Jupytext and editors know: `# %%` begins a cell of code, `# %% [markdown]` one
of text. A cell's last expression, if it is a picture, is shown as a JPEG. (make pictures makes it anew.)
"""

import ast
import base64
import contextlib
import io
import json
import pathlib
import re
import sys
from typing import Any, NamedTuple

from PIL import Image

SCRIPT = pathlib.Path(__file__).parents[1] / "examples" / "chain.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")

_CELL = re.compile(r"^# %%(?P<kind> \[markdown\])?\n", re.MULTILINE)
_SCRATCH = re.compile(r"(/[\w.-]+)+/boxbeam-[\w]{8}\b")
_QUALITY = 70


class Cell(NamedTuple):
    """One cell: text in Markdown, or code."""

    is_code: bool
    source: str


def cells_of(script: str) -> list[Cell]:
    """The cells of a script in the percent format."""
    _, *parts = _CELL.split(script)
    cells = []
    for kind, body in zip(parts[::2], parts[1::2], strict=True):
        text = body.strip("\n")
        cells.append(Cell(not kind, text if not kind else re.sub(r"^# ?", "", text, flags=re.MULTILINE)))
    return cells


def main() -> int:
    """Run the cells one after the other and write the notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    told = []
    for number, cell in enumerate(cells_of(SCRIPT.read_text(encoding="utf-8"))):
        told.append(_told(cell, number, _outputs(cell.source, names) if cell.is_code else None))
    notebook = {
        "cells": told,
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _told(cell: Cell, number: int, outputs: list[dict[str, Any]] | None) -> dict[str, Any]:
    made = {"id": f"cell-{number}", "metadata": {}, "source": cell.source.splitlines(keepends=True)}
    if outputs is None:
        return {"cell_type": "markdown", **made}
    return {"cell_type": "code", **made, "execution_count": None, "outputs": outputs}


def _outputs(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """What a cell prints, without the name of this run's folder, and the picture that its last expression is."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, str(SCRIPT), "exec"), names)  # our own script
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(SCRIPT), "eval"), names)
    outputs: list[dict[str, Any]] = []
    text = _SCRATCH.sub("folder", printed.getvalue())
    if text:
        outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if isinstance(value, Image.Image):
        value.convert("RGB").save(encoded := io.BytesIO(), "JPEG", quality=_QUALITY)
        data = {"image/jpeg": base64.b64encode(encoded.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    return outputs


if __name__ == "__main__":
    sys.exit(main())
