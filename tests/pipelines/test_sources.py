"""Finding inputs: keys do not depend on the root, nothing is counted twice, nothing disappears."""

import os
import pathlib
import unicodedata

import pytest

from od_core import storage
from od_core.errors import UsageError
from pipelines.sources import Found, Wanted, check, match
from tests.od_core.shelf import Shelf

TEXT = Wanted(lambda path: "text" if path.endswith(".t") else None, "text files")


def find(*inputs: object) -> Found:
    return match([str(one) for one in inputs], TEXT)


def make(folder: pathlib.Path, *names: str) -> pathlib.Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def keys(found: Found) -> list[str]:
    return [source.key for source in found.sources]


def test_a_folder_is_walked_and_sorted_by_key_and_other_files_are_counted(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "b/2.t", "a.t", "b/1.t", "b-1.t", "notes.md", "b/x.jpg", "y.jpg", ".hidden.t", ".git/z.t")
    found = find(tmp_path)
    assert keys(found) == ["a.t", "b-1.t", "b/1.t", "b/2.t"]
    assert found.ignored == {".md": 1, ".jpg": 2}
    source = next(iter(found.sources))
    assert (source.uri, source.kind, source.size) == (str(tmp_path / "a.t"), "text", 3)
    assert source.version == (tmp_path / "a.t").stat().st_mtime_ns // 1_000_000


def test_folders_whose_names_hold_brackets_are_walked_not_globbed(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "sub[1]/a.t")
    assert keys(find(tmp_path / "sub[1]")) == ["a.t"]
    assert keys(find(tmp_path / "sub[1]" / "a.t")) == ["a.t"]


def test_a_pattern_gives_keys_relative_to_its_fixed_folder(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "in/x/1.t", "in/y/2.t", "in/3.t")
    assert keys(find(tmp_path / "in" / "**" / "*.t")) == ["3.t", "x/1.t", "y/2.t"]
    assert keys(find(tmp_path / "in" / "*" / "[12].t")) == ["x/1.t", "y/2.t"]


def test_a_list_file_gives_keys_relative_to_its_folder(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "in/a.t", "b.t")
    outside = make(tmp_path.parent / f"{tmp_path.name}-outside", "c.t")
    (tmp_path / "list.txt").write_text(f"in/a.t\n# comment\n\nb.t\n{outside}/c.t\n")
    assert keys(find(tmp_path / "list.txt")) == ["b.t", "in/a.t", f"{outside}/c.t".lstrip("/")]


def test_a_long_list_on_an_object_store_is_looked_up_several_at_a_time_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"in/{number:03}.t" for number in range(200)]
    shelf = Shelf("mem://b/list.txt", *(f"mem://b/{name}" for name in names))
    shelf.files["mem://b/list.txt"] = "".join(f"mem://b/{name}\n" for name in (*reversed(names), "in/gone.t")).encode()
    monkeypatch.setattr(storage, "_remote", shelf)
    found = find("mem://b/list.txt")
    assert keys(found) == [*names, "in/gone.t"]
    assert [source.size for source in found.sources][-2:] == [len("mem://b/in/199.t"), 0]


def test_keys_are_nfc_and_printable_whatever_the_disk_holds(tmp_path: pathlib.Path) -> None:
    make(tmp_path, unicodedata.normalize("NFD", "é.t"))
    pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.t")).write_text("latin")
    assert keys(find(tmp_path)) == ["caf\\xe9.t", unicodedata.normalize("NFC", "é.t")]


def test_a_file_reached_twice_counts_once(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "in/a.t", "in/sub/b.t")
    assert keys(find(tmp_path / "in", tmp_path / "in/a.t")) == ["a.t", "sub/b.t"]
    assert len(find(tmp_path / "in", tmp_path / "in/sub").sources) == 2


def test_a_file_that_a_list_names_twice_counts_once(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "in/a.t", "in/b.t")
    (tmp_path / "link").symlink_to("in")
    lines = ["in/a.t", "./in/a.t", f"{tmp_path}/in/a.t", "link/a.t", "gone.t", "in/b.t", "gone.t"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert keys(find(tmp_path / "list.txt")) == ["gone.t", "in/a.t", "in/b.t"]


def test_a_folder_in_a_list_is_refused_by_its_name_and_not_passed_over(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "in/a.t", "more/b.t")
    (tmp_path / "list.txt").write_text("in/a.t\nmore\n")
    with pytest.raises(UsageError, match=r"list\.txt: names the folder more, and a list names files: give it as"):
        find(tmp_path / "list.txt")


def test_two_files_of_one_key_are_refused_with_both_places(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "x/a.t", "y/a.t")
    with pytest.raises(UsageError, match=r"'a.t'.*x/a\.t and .*y/a\.t.*common parent"):
        find(tmp_path / "x", tmp_path / "y")


def test_two_names_that_differ_only_in_their_unicode_form_are_told_apart_in_the_refusal(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "é.t", unicodedata.normalize("NFD", "é.t"))
    with pytest.raises(UsageError, match=r"'é\.t': .*/(e\\u0301|\\xe9)\.t' and .*: rename one of them"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such file or folder$"),
        ("fodler", "did you mean .*folder"),
        ("empty", r"no text files in there \(it is empty\)"),
        ("useless", r"no text files in there \(found: 2 \.md, 1 \.jpg\)"),
        ("useless/1.md", "not an input this job knows"),
        ("folder/*.jpg", "matches no file"),
        ("list.txt", "no text files in there"),
    ],
)
def test_what_cannot_be_input_is_refused_with_what_was_found(tmp_path: pathlib.Path, name: str, message: str) -> None:
    make(tmp_path, "folder/a.t", "useless/1.md", "useless/2.md", "useless/3.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("# nothing\n")
    for refuse in (check, match):
        with pytest.raises(UsageError, match=message):
            refuse([str(tmp_path / name)], TEXT)
