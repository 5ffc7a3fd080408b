"""How images are dealt out: laws that hold for any names, sizes and options."""

import math
import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.errors import UsageError
from pipelines.convert.layout import Layout

names = st.text(string.ascii_letters + string.digits + "/._-é", min_size=1, max_size=20)
keys = st.lists(names, unique=True, max_size=60)
seeds = st.integers(0, 2**40)
sizes = st.lists(st.integers(0, 5_000_000), max_size=80)


@st.composite
def shares(draw) -> dict[str, float]:
    weights = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    return {name: weight / sum(weights) for name, weight in zip("abcd", weights, strict=False)}


def splits(layout: Layout, keys: list[str]) -> dict[str, str]:
    return {key: layout.split_of(key) for key in keys}


@given(keys, keys, shares(), seeds)
def test_images_that_are_added_move_none(before, added, shares, seed):
    layout = Layout(shares, seed=seed)
    alone = splits(layout, before)
    assert set(alone.values()) <= shares.keys()
    together = splits(Layout(shares, seed=seed, num_shards=3), [*added, *before])
    assert {key: together[key] for key in before} == alone


def test_the_split_of_a_name_is_the_same_in_every_version():
    layout = Layout({"train": 0.8, "val": 0.2})
    assert [key for key in map(str, range(30)) if layout.split_of(key) == "val"] == [
        "0",
        "1",
        "5",
        "7",
        "13",
        "14",
        "15",
        "22",
        "23",
        "25",
        "26",
    ]
    assert layout.order_of("a.jpg") == 14093142191066068372


@pytest.mark.parametrize("shares", [{"train": 0.8, "val": 0.2}, {"a": 0.1, "b": 0.2, "c": 0.7}, {"all": 1.0}])
def test_shares_are_kept_about(shares):
    count = 20_000
    found = list(splits(Layout(shares), [f"folder/{number:06}.jpg" for number in range(count)]).values())
    for name, share in shares.items():
        assert found.count(name) == pytest.approx(count * share, abs=5 * math.sqrt(count) / 2)


def test_another_seed_is_another_split_and_another_order():
    keys = [str(number) for number in range(1000)]
    one, other = (Layout({"train": 0.5, "val": 0.5}, seed=seed) for seed in (0, 1))
    moved = sum(one.split_of(key) != other.split_of(key) for key in keys)
    assert 400 < moved < 600
    assert sorted(keys, key=one.order_of) != sorted(keys, key=other.order_of)
    assert len({one.order_of(key) for key in keys}) == len(keys)


def test_order_and_split_have_nothing_to_do_with_each_other():
    layout = Layout({"train": 0.5, "val": 0.5})
    keys = sorted((str(number) for number in range(1000)), key=layout.order_of)
    first_half = [layout.split_of(key) for key in keys[:500]]
    assert 200 < first_half.count("val") < 300


folders = st.lists(st.sampled_from(["", "a/", "b/", "a/b/", "c/"]), min_size=1, max_size=40)


@given(folders, shares(), seeds)
def test_a_folder_is_never_torn_apart(prefixes, shares, seed):
    layout = Layout(shares, split_by="folder", seed=seed)
    found: dict[str, set[str]] = {}
    for number, prefix in enumerate(prefixes):
        found.setdefault(prefix, set()).add(layout.split_of(f"{prefix}{number}.jpg"))
    assert all(len(of_folder) == 1 for of_folder in found.values())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 999)), min_size=1), shares(), seeds)
def test_images_that_agree_in_the_expression_are_never_torn_apart(images, shares, seed):
    layout = Layout(shares, split_by=r"clip(\d+)_", seed=seed)
    found: dict[int, set[str]] = {}
    for clip, frame in images:
        found.setdefault(clip, set()).add(layout.split_of(f"x{frame % 3}/clip{clip}_{frame}.jpg"))
    assert all(len(of_clip) == 1 for of_clip in found.values())


def test_an_expression_without_a_group_takes_all_it_finds_and_without_a_find_the_image_is_alone():
    shares = {"train": 0.5, "val": 0.5}
    whole, image = Layout(shares, split_by=r"day\d+"), Layout(shares)
    clips = [f"day{number}" for number in range(40)]
    assert [whole.split_of(f"a/{clip}-{clip}.jpg") for clip in clips] == [image.split_of(clip) for clip in clips]
    assert [whole.split_of(f"night{n}") for n in range(40)] == [image.split_of(f"night{n}") for n in range(40)]


modes = st.one_of(
    st.builds(lambda n: {"num_shards": n}, st.integers(1, 100)),
    st.builds(lambda n: {"images_per_shard": n}, st.integers(1, 30)),
    st.builds(lambda n: {"shard_bytes": n}, st.integers(1, 20_000_000)),
)


@given(sizes, modes)
def test_shards_hold_all_images_none_is_empty_and_their_names_agree(sizes, mode):
    shards = Layout({"train": 1.0}, **mode).shards("train", sizes)
    assert sum(shard.images for shard in shards) == len(sizes)
    assert all(shard.images > 0 for shard in shards)
    wanted = [f"train-{number:05}-of-{len(shards):05}.tfrecord" for number in range(len(shards))]
    assert [shard.name for shard in shards] == wanted
    assert {shard.split for shard in shards} <= {"train"}


@given(sizes, st.integers(1, 100))
def test_the_number_of_shards_is_as_asked_and_they_are_even(sizes, count):
    shards = Layout({"train": 1.0}, num_shards=count).shards("train", sizes)
    assert len(shards) == min(count, len(sizes))
    images = [shard.images for shard in shards]
    assert not images or max(images) - min(images) <= 1


@given(sizes, st.integers(1, 30))
def test_no_shard_has_more_images_than_asked_and_they_are_no_more_than_needed(sizes, most):
    shards = Layout({"train": 1.0}, images_per_shard=most).shards("train", sizes)
    assert all(shard.images <= most for shard in shards)
    assert len(shards) == math.ceil(len(sizes) / most)


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=80), st.integers(1_000, 20_000_000))
def test_bytes_are_balanced(sizes, wanted):
    shards = Layout({"train": 1.0}, shard_bytes=wanted).shards("train", sizes)
    heaviest = max(sizes) + 1024
    total = sum(sizes) + 1024 * len(sizes)
    assert len(shards) <= math.ceil(total / wanted)
    start = 0
    for shard in shards:
        held = sizes[start : start + shard.images]
        assert sum(held) <= wanted + heaviest
        start += shard.images


def test_many_alike_images_make_shards_of_the_wanted_size():
    shards = Layout({"train": 1.0}, shard_bytes=10_000_000).shards("train", np.full(1000, 98_976))
    assert [shard.images for shard in shards] == [100] * 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": {}}, "every share must be above 0"),
        ({"splits": {"train": 0.8, "val": 0.1}}, "must sum to 1, they sum to 0.9"),
        ({"splits": {"train": 1.0, "val": 0.0}}, "every share must be above 0"),
        ({"splits": {"train": 1.5, "val": -0.5}}, "every share must be above 0"),
        ({"splits": {"train": float("nan"), "val": 0.5}}, "every share must be above 0"),
        ({"splits": {"my-train": 1.0}}, "'my-train' cannot be the name of a split: letters, digits and _ only"),
        ({"splits": {"": 1.0}}, "'' cannot be the name of a split"),
        ({"splits": {"../x": 1.0}}, "'../x' cannot be the name"),
        ({"splits": {"train": 1.0}, "split_by": "a(b"}, "expected image, folder or a regular expression, got 'a(b'"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        Layout(**options)


def test_thirds_sum_to_one():
    assert Layout({"a": 0.333333, "b": 0.333333, "c": 0.333334}).split_of("x") in "abc"
    third = 1 / 3
    assert set(splits(Layout({"a": third, "b": third, "c": third}), [str(n) for n in range(99)]).values()) == set("abc")


@pytest.mark.parametrize(
    ("split_by", "message"),
    [
        ("folder", "--split_by folder: all 2 images are in one folder, so they cannot be divided among train, val"),
        (r"img(\d+)_", r"--split_by: 'img(\d+)_' is found in none of the 2 image names, such as in/a1.jpg"),
        ("(in)/", "--split_by (in)/: all 2 images agree in it: 'in', so they cannot be divided among train, val"),
    ],
)
def test_a_division_that_divides_nothing_is_refused(split_by, message):
    layout = Layout({"train": 0.5, "val": 0.5}, split_by=split_by)
    with pytest.raises(UsageError, match=re.escape(message)):
        layout.refuse_one_group(["in/a1.jpg", "in/a2.jpg"])


def test_one_group_is_fine_where_there_is_nothing_to_divide():
    layout = Layout({"train": 0.5, "val": 0.5}, split_by="folder")
    layout.refuse_one_group([])
    layout.refuse_one_group(["a.jpg"])
    layout.refuse_one_group(["a.jpg", "b/c.jpg"])
    Layout({"all": 1.0}, split_by="folder").refuse_one_group(["a.jpg", "b.jpg"])
