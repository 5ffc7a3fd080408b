"""One page about an evaluation: a file that needs nothing else, neither network nor scripts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from od_core.evaluation_page import charts
from od_core.evaluation_page.svg import STYLE, escaped, standalone

CHARTS = ("precision_recall", "scores", "errors", "confusion", "calibration")
"""The names of all charts."""

_PER_CLASS = "PerformanceByCategory/"
_CLASSES, _SLICES = 1000, 200

_PAGE_STYLE = """
body { margin: 2rem auto; max-width: 70rem; padding: 0 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color-scheme: light dark; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; overflow-wrap: anywhere; } .soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; min-width: 7rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .75rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; min-width: 8rem; overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); }
"""

_FRAMES = {
    "without_objects": "of them without objects",
    "without_detections": "of them without detections",
    "unprocessed": "left out: not processed",
    "unusable": "left out: annotation cannot be used",
    "unknown": "frames of detections left out: the ground truth lacks them",
    "ambiguous": "names that could each mean several images",
    "other_size": "of another size in the ground truth than in the detections",
}


def plots(insight: Mapping[str, Any], curves: pa.Table) -> dict[str, str]:
    """File name -> SVG, each a file of its own.

    Args:
        insight: that of metrics.json.
        curves: the rows of curves.parquet.
    """
    return {f"{name}.svg": standalone(chart) for name, chart in _charts(insight, curves).items()}


def evaluation_page(document: Mapping[str, Any], curves: pa.Table) -> str:
    """The page, as HTML.

    Args:
        document: metrics.json, with insight.
        curves: the rows of curves.parquet.
    """
    drawn = _charts(document["insight"], curves)
    parts = [
        *_head(document),
        *_section(
            "Precision and recall", _about_curves(document["insight"]), drawn["precision_recall"], drawn["scores"]
        ),
        *_section("Classes", "AP at the IoU above; best F1 at the class's own best score.", _class_table(document)),
        *_section("What goes wrong", _ABOUT_ERRORS, drawn["errors"]),
        *_section("What is taken for what", _about_confusion(document["insight"]), drawn["confusion"]),
        *_section("Can scores be believed?", _ABOUT_CALIBRATION, drawn["calibration"]),
        *_section("Sizes of objects", _ABOUT_SIZES, _size_table(document["insight"])),
        *_slice_sections(document["insight"]),
        *_section("All numbers", "", *_number_tables(document)),
        *_section("What was evaluated", "", _frame_table(document)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Evaluation</title>\n'
        f"<style>{STYLE}{_PAGE_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


_ABOUT_ERRORS = (
    "How much average precision would gain if one kind of error alone were mended (TIDE). Localisation: the right"
    " class, but too little overlap; class: enough overlap, the wrong class; both; duplicate: the object was found"
    " already; background: nothing is there; missed: nothing was found, not even badly."
)
_ABOUT_CALIBRATION = (
    "Of the detections with scores in each range, the share that is right; the dashed line is a model that knows."
)
_ABOUT_SIZES = "Small: area below 32² pixels; medium: from there; large: from 96². At the score of the best F1."


def _charts(insight: Mapping[str, Any], curves: pa.Table) -> dict[str, str]:
    drawn = (
        charts.precision_recall(insight, curves),
        charts.scores(insight, curves),
        charts.errors(insight),
        charts.confusion(insight),
        charts.calibration(insight),
    )
    return dict(zip(CHARTS, drawn, strict=True))


def _about_curves(insight: Mapping[str, Any]) -> str:
    return (
        f"A detection is right if it overlaps an object of its class by an IoU of at least {insight['iou']:g}. The"
        " thick line is all classes together; the others are the classes with the most objects."
    )


def _about_confusion(insight: Mapping[str, Any]) -> str:
    score = insight["confusion"]["min_score"]
    least = "all detections" if score is None else f"detections with scores of at least {score:.3f} (best F1)"
    return f"Rows are what is there, columns what it was found as; {least}. Shades are shares of a row."


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    insight, metrics = document["insight"], document["metrics"]
    best = insight["overall"]["best_f1"]
    truth = ", ".join(document["ground_truth"]["paths"])
    yield "<h1>Evaluation</h1>"
    yield f'<p class="soft">{escaped(document["detections"]["path"])} against {escaped(truth)}</p>'
    tiles = [
        (label, metrics[name])
        for label, name in (
            ("mAP (COCO)", "DetectionBoxes_Precision/mAP"),
            ("mAP at IoU .50 (COCO)", "DetectionBoxes_Precision/mAP@.50IOU"),
            ("mAP (Pascal VOC)", "PascalBoxes_Precision/mAP@0.5IOU"),
        )
        if name in metrics
    ]
    tiles += [("best F1", best["f1"]), ("at score", best["score"])]
    tiles += [("precision there", best["precision"]), ("recall there", best["recall"])]
    shown = [(label, _shown(x)) for label, x in tiles]
    shown += [("frames", f"{insight['overall']['frames']:,}"), ("objects", f"{insight['overall']['objects']:,}")]
    cells = "".join(f'<div class="tile"><b>{escaped(x)}</b>{escaped(label)}</div>' for label, x in shown)
    yield f'<div class="tiles">{cells}</div>'


def _section(title: str, about: str, *parts: str) -> Iterator[str]:
    yield f"<h2>{escaped(title)}</h2>"
    if about:
        yield f'<p class="soft">{escaped(about)}</p>'
    for part in parts:
        yield f'<div class="scroll">{part}</div>'


def _class_table(document: Mapping[str, Any]) -> str:
    rows = []
    for one in document["insight"]["classes"][:_CLASSES]:
        best = one["best_f1"]
        numbers = (one["average_precision"], best["f1"], best["score"], best["precision"], best["recall"])
        rows.append([one["name"], f"{one['objects']:,}", f"{one['detections']:,}", *map(_shown, numbers)])
    return _table(["class", "objects", "detections", "AP", "best F1", "at score", "precision", "recall"], rows)


def _size_table(insight: Mapping[str, Any]) -> str:
    rows = []
    for one in insight["sizes"]["buckets"]:
        counts = (one["tp"] + one["fn"], one["tp"], one["fp"])
        rows.append([one["name"], *(f"{count:,}" for count in counts), *_rates(one)])
    return _table(["size", "objects", "found", "wrong", "precision", "recall", "F1"], rows)


def _slice_sections(insight: Mapping[str, Any]) -> Iterator[str]:
    for way in insight["slices"]["by"]:
        slices = way["slices"]
        rows = [
            [one["name"], f"{one['frames']:,}", f"{one['objects']:,}", _shown(one["average_precision"]), *_rates(one)]
            for one in slices[:_SLICES]
        ]
        more = f" The first {_SLICES} of {len(slices):,}." if len(slices) > _SLICES else ""
        about = f"AP at the IoU above; the others at the score of the best F1 overall.{more}"
        titles = ["slice", "frames", "objects", "AP", "precision", "recall", "F1"]
        yield from _section(f"By {way['kind']}", about, _table(titles, rows))


def _number_tables(document: Mapping[str, Any]) -> Iterator[str]:
    prefixes = {"insight": "Insight"}
    names = [name for name in document["metrics"] if _PER_CLASS not in name]
    for metric, definition in document["definitions"].items():
        prefix = prefixes.get(metric) or _prefix(metric)
        rows = [[name, _shown(document["metrics"][name])] for name in names if name.partition("_")[0] == prefix]
        yield f'<h3>{escaped(metric)}</h3><p class="soft">{escaped(definition)}</p>{_table(["number", ""], rows)}'


def _prefix(metric: str) -> str:
    return {
        "coco": "DetectionBoxes",
        "coco_masks": "DetectionMasks",
        "voc10": "PascalBoxes",
        "voc07": "Pascal07Boxes",
        "weighted_voc": "WeightedPascalBoxes",
        "open_images": "OpenImagesV2",
        "open_images_challenge": "OpenImagesDetectionChallenge",
    }[metric]


def _frame_table(document: Mapping[str, Any]) -> str:
    frames, names = document["frames"], document["names"]
    rows = [["frames evaluated", f"{frames['evaluated']:,}", ""]]
    for key, words in _FRAMES.items():
        if frames[key]:
            rows.append([words, f"{frames[key]:,}", ", ".join(names.get(key, []))])
    return _table(["", "number", "such as"], rows)


def _rates(one: Mapping[str, Any]) -> list[str]:
    return [_shown(one[name]) for name in ("precision", "recall", "f1")]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escaped(title)}</th>" for title in titles)
    body = "\n".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _shown(x: float | None) -> str:
    """Four digits; a dash where a number is undefined: null, and COCO's -1."""
    return "–" if x is None or x == -1 else f"{x:.4f}"
