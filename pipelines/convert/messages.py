"""What convert says to a person: why it refuses to start, and what to know at the end."""

from collections.abc import Iterable, Mapping, Sequence

from od_core.closest_name import did_you_mean
from od_core.label_map import LabelMap
from pipelines.convert.plan import LabelUse, PlanHeader
from pipelines.convert.shards import ShardFile

_NAMED = 5

# Where a data set of a format says which split its images are in.
_OWN_SPLITS = {
    "voc": "the lists ImageSets/Main/train.txt and val.txt",
    "yolo": "train: and val: in data.yaml",
    "csv": "a column split",
    "open_images": "tables called train-... and validation-...",
}


def unknown_labels(unknown: Mapping[str, LabelUse], label_map: LabelMap, advice: str) -> str:
    """A refusal of class names that the label map lacks, most used first, with those that were probably meant."""
    names = list(label_map.names.values())
    told = []
    for name, use in sorted(unknown.items(), key=lambda pair: (-pair[1].objects, pair[0]))[:_NAMED]:
        guess = did_you_mean(name, names, lead=", ", quoted=True)
        told.append(f"{name!r} ({_counted(use.objects, 'object')}, first in {use.place}{guess})")
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return (
        f"the label map has no class called {'; '.join(told)}{more}. It has: {', '.join(names[:20])}. Correct the"
        f" annotations or the label map{advice}"
    )


def given_twice(path: str, inputs: Sequence[str], splits: Sequence[str]) -> str:
    """A refusal of an input that is named more than once; `splits`: that of each input, or none at all."""
    named = list(dict.fromkeys(split for split, other in zip(splits, inputs, strict=False) if other == path))
    where = f", as {' and '.join(f'{split}=' for split in named)}" if len(named) > 1 else ""
    both = f", and its images would be in {' and in '.join(named)}" if len(named) > 1 else ""
    return (
        f"--input names {path} more than once{where}{both}; name it once. To divide one data set among splits, write"
        f" --input {path} --splits train=0.8,val=0.2"
    )


def nothing_to_do(inputs: Sequence[str], header: PlanHeader) -> str:
    """A refusal of inputs of which no image is in any split."""
    where = ", ".join(inputs)
    if not header.in_no_split.images:
        return f"{where}: no image is annotated in there"
    own = _OWN_SPLITS.get(header.format)
    return (
        f"{where}: nothing says which split its {header.in_no_split.images:,} images are in, expected"
        f" {f'{own}, or ' if own else ''}--input train=PATH val=PATH; or divide them by shares, such as --splits"
        " train=0.8,val=0.2"
    )


def notes(names: Iterable[str], files: Sequence[ShardFile], header: PlanHeader) -> list[str]:
    """What a person should read at the end."""
    splits: dict[str, list[ShardFile]] = {name: [] for name in names}
    for file in files:
        splits.setdefault(file.split, []).append(file)
    told = []
    for split, shards in splits.items():
        records = _counted(sum(file.records for file in shards), "record")
        told.append(f"{split}: {records} in {_counted(len(shards), 'shard')}" if shards else f"{split}: no images")
    if header.unused_splits:
        names = ", ".join(header.unused_splits)
        told.append(f"the data set has splits of its own ({names}), which were not used; --splits given takes them")
    if header.loose_faults:
        first = "; ".join(header.loose_faults[:_NAMED])
        told.append(f"{_counted(len(header.loose_faults), 'annotation')} could not be used: {first}")
    return told


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)}"
