"""report.json: what became of every image and every box of the input, and how the classes are spread over the splits.

{"boxbeam": "convert_report/1",
 "images": {"found": 17, "written": 8, "without_boxes": 1, "rejected": 9},   found = written + rejected
 "boxes": {"found": 40, "written": 35, "clipped": 2, "dropped": 3, "rejected": 2},
                                              found = written + dropped + rejected
 "reasons": [{"of": "images", "outcome": "rejected", "kind": "images_damaged", "why": "...", "count": 4,
              "examples": ["img01.jpg: a damaged or cut-off JPEG ..."]}, ...]        the first examples, in order of key
 "splits": {"train": {"images": 7, "without_boxes": 1, "boxes": 30, "rejected": 6}, ...},
 "classes": [{"id": 1, "name": "cat", "splits": {"train": {"images": 6, "boxes": 20}, ...}}, ...],
 "classes_missing": {"val": ["dog"]},            classes that another split has
 "classes_not_used": ["zebra"],                  classes of the label map without a box anywhere
 "images_not_annotated": {"count": 3, "examples": [...]}}    in the image folders, but in no annotation: not converted

It is made from the plan (what there was) and the index (what became of it): it is the same after any number of runs.
"""

import collections
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from pipelines.convert.plan import PlanHeader
from pipelines.convert.remarks import (
    IMAGE_IN_NO_SPLIT,
    OBJECT_IN_NO_SPLIT,
    OBJECT_OF_NO_IMAGE,
    OBJECT_OF_REJECTED_IMAGE,
    REASONS,
)

REPORT_FILE = "report.json"

_VERSION = "convert_report/1"
_EXAMPLES = 5
_COLUMNS = ["key", "split", "status", "objects.list.element.class_id", "remarks"]


class _Tally:
    """Counts over the rows of an index, table by table."""

    def __init__(self) -> None:
        self.splits: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.boxes: collections.Counter[tuple[str, int]] = collections.Counter()  # by split and class
        self.images: collections.Counter[tuple[str, int]] = collections.Counter()
        self.remarks: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, list[tuple[str, int, str]]] = {}  # by kind: key, place in its row, text
        self.rejected: list[pa.Array] = []

    def add(self, rows: pa.Table) -> None:
        """Rows with `_COLUMNS`."""
        splits = np.asarray(rows.column("split").to_pylist(), object)
        done = pc.equal(rows.column("status"), "done").to_numpy()
        objects = rows.column("objects").combine_chunks()
        counts = objects.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        owners = np.repeat(np.arange(len(rows)), counts)
        classes = objects.flatten().field("class_id").to_numpy(zero_copy_only=False)
        for split in sorted(set(splits)):
            here = splits == split
            self.splits[split] += collections.Counter(
                images=int((here & done).sum()),
                without_boxes=int((here & done & (counts == 0)).sum()),
                boxes=int(counts[here].sum()),
                rejected=int((here & ~done).sum()),
            )
            mine = here[owners]
            for numbers, total in ((classes[mine], self.boxes), (_once(owners[mine], classes[mine]), self.images)):
                for class_id, count in zip(*np.unique(numbers, return_counts=True), strict=True):
                    total[split, int(class_id)] += int(count)
        self.rejected.append(rows.column("key").combine_chunks().filter(pa.array(~done)))
        self._add_remarks(rows)

    def _add_remarks(self, rows: pa.Table) -> None:
        remarks = rows.column("remarks").combine_chunks()
        kinds = remarks.flatten().field("kind")
        for entry in pc.value_counts(kinds).to_pylist():
            self.remarks[entry["values"]] += entry["counts"]
            places = np.flatnonzero(pc.equal(kinds, entry["values"]).to_numpy(zero_copy_only=False))[:_EXAMPLES]
            owners = remarks.value_parent_indices().take(pa.array(places))
            keys = rows.column("key").take(owners).to_pylist()
            texts = remarks.flatten().field("text").take(pa.array(places)).to_pylist()
            found = [
                (key, int(place), _placed(entry["values"], key, text))
                for key, place, text in zip(keys, places, texts, strict=True)
            ]
            known = self.examples.get(entry["values"], [])
            self.examples[entry["values"]] = sorted([*known, *found])[:_EXAMPLES]


def _once(owners: Any, classes: Any) -> Any:
    """The class ids of rows, each once a row."""
    pairs = np.unique(np.stack([owners, classes.astype(np.int64)]), axis=1)
    return pairs[1]


def _placed(kind: str, key: str, text: str) -> str:
    """A remark on an image with the image's name; those on objects name the annotation themselves."""
    reason = REASONS.get(kind)
    return f"{key}: {text}" if reason is None or reason.of == "images" else text


def conversion_report(header: PlanHeader, found_objects: pa.Table, index_files: Iterable[str]) -> dict[str, Any]:
    """The report as JSON values, see the module.

    Args:
        header: of the plan.
        found_objects: `key` and `found_objects` of every image of the plan.
        index_files: paths of the index.
    """
    tally = _Tally()
    for path in index_files:
        for rows in _tables(path):
            tally.add(rows)
    lost_with_images = _found_in(found_objects, tally.rejected)
    tally.remarks[OBJECT_OF_REJECTED_IMAGE] = lost_with_images
    tally.remarks[OBJECT_OF_NO_IMAGE] = header.loose_objects
    tally.remarks[IMAGE_IN_NO_SPLIT] = header.in_no_split.images
    tally.remarks[OBJECT_IN_NO_SPLIT] = header.in_no_split.objects
    splits = {split: tally.splits[split] for split in dict.fromkeys(shard.split for shard in header.shards)}
    total = sum(splits.values(), collections.Counter())
    found = pc.sum(found_objects.column("found_objects")).as_py() or 0
    return {
        "boxbeam": _VERSION,
        "images": {
            "found": len(found_objects) + header.in_no_split.images,
            "written": total["images"],
            "without_boxes": total["without_boxes"],
            "rejected": total["rejected"] + header.in_no_split.images,
        },
        "boxes": {
            "found": found + header.in_no_split.objects + header.loose_objects,
            "written": total["boxes"],
            **{outcome: _count(tally, "boxes", outcome) for outcome in ("clipped", "dropped", "rejected")},
        },
        "reasons": list(_reasons(tally, header)),
        "splits": {split: _named(counts) for split, counts in splits.items()},
        **_classes(header, tally, list(splits)),
        "images_not_annotated": {"count": header.not_annotated.images, "examples": list(header.not_annotated.first)},
    }


def report_text(report: Mapping[str, Any]) -> str:
    """The text of report.json."""
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def _tables(path: str) -> Iterator[pa.Table]:
    with storage.open_input(path) as file, pq.ParquetFile(file) as parquet:
        for group in range(parquet.metadata.num_row_groups):
            yield parquet.read_row_group(group, columns=_COLUMNS)


def _found_in(found_objects: pa.Table, keys: Sequence[pa.Array]) -> int:
    """How many objects the images of these keys have."""
    wanted = pa.chunked_array(keys, pa.string())
    mask = pc.is_in(found_objects.column("key"), wanted.combine_chunks())
    return pc.sum(found_objects.column("found_objects").filter(mask)).as_py() or 0


def _count(tally: _Tally, of: str, outcome: str) -> int:
    return sum(tally.remarks[kind] for kind, reason in REASONS.items() if (reason.of, reason.outcome) == (of, outcome))


def _reasons(tally: _Tally, header: PlanHeader) -> Iterator[dict[str, Any]]:
    for kind, (of, outcome, why) in REASONS.items():
        if tally.remarks[kind]:
            examples = [text for _, _, text in tally.examples.get(kind, [])]
            if kind == OBJECT_OF_NO_IMAGE:
                examples = list(header.loose_faults[:_EXAMPLES])
            if kind == IMAGE_IN_NO_SPLIT:
                examples = list(header.in_no_split.first)
            count = tally.remarks[kind]
            yield {"of": of, "outcome": outcome, "kind": kind, "why": why, "count": count, "examples": examples}


def _named(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in ("images", "without_boxes", "boxes", "rejected")}


def _classes(header: PlanHeader, tally: _Tally, splits: Sequence[str]) -> dict[str, Any]:
    labels = header.label_map.labels if header.label_map else {}
    boxes = {class_id: [tally.boxes[split, class_id] for split in splits] for class_id in labels}
    return {
        "classes": [
            {
                "id": class_id,
                "name": name,
                "splits": {
                    split: {"images": tally.images[split, class_id], "boxes": tally.boxes[split, class_id]}
                    for split in splits
                },
            }
            for class_id, name in labels.items()
        ],
        "classes_missing": {
            split: missing
            for number, split in enumerate(splits)
            if (missing := [labels[id] for id, counts in boxes.items() if any(counts) and not counts[number]])
        },
        "classes_not_used": [labels[id] for id, counts in boxes.items() if not any(counts)],
    }
