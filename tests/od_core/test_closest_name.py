"""The name that was probably meant."""

import os
import pathlib

import pytest

from od_core.closest_name import closest_name, did_you_mean, did_you_mean_path


@pytest.mark.parametrize(
    ("word", "known", "close"),
    [
        ("dgo", ["cat", "dog"], "dog"),
        ("CAT", ["Dog", "Cat"], "Cat"),  # nothing but the case: difflib alone finds no letter in common
        ("STRASSE", ["straße"], "straße"),
        ("zebra", ["cat", "dog"], None),
        ("dog", [], None),
        ("", ["dog"], None),
        ("cats", ["Cat", "cat"], "Cat"),
    ],
)
def test_the_closest_name_is_found_whatever_its_case(word: str, known: list[str], close: str | None) -> None:
    assert closest_name(word, known) == close


def test_the_words_about_it() -> None:
    assert did_you_mean("dgo", ["cat", "dog"]) == "; did you mean dog?"
    assert did_you_mean("dgo", ["cat", "dog"], quoted=True, lead=", ") == ", did you mean 'dog'?"
    assert did_you_mean("zebra", ["cat", "dog"]) == ""
    assert did_you_mean("zebra", ["cat", "dog"], otherwise="there are cat, dog") == "; there are cat, dog"
    assert did_you_mean("dgo", iter(["dog"]), cutoff=0.9) == ""


def test_a_path_is_compared_with_what_lies_beside_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    os.symlink("nowhere", tmp_path / "phots")
    assert did_you_mean_path(f"{tmp_path}/Photo/") == f"; did you mean {tmp_path}/photos?"
    assert did_you_mean_path(f"file://{tmp_path}/phots") == f"; did you mean {tmp_path}/photos?"
    assert did_you_mean_path(f"{tmp_path}/no/photos") == ""
    assert did_you_mean_path("s3://bucket/photo") == ""
    monkeypatch.chdir(tmp_path)
    assert did_you_mean_path("foto") == "; did you mean photos?"
