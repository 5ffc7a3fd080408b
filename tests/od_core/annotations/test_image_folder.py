import itertools
import string
import unicodedata

import pytest

from od_core.annotations.image_folder import ImageFolder
from od_core.errors import AnnotationError


@pytest.fixture
def folder(tmp_path):
    """Make files of these names; gives the ImageFolder."""

    def made(*names: str) -> ImageFolder:
        for name in names:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        return ImageFolder(str(tmp_path / "images"))

    return made


def refusal(folder: ImageFolder, name: str) -> str:
    with pytest.raises(AnnotationError) as caught:
        folder.find(name)
    return str(caught.value).replace(folder.folder, "DIR")


def test_an_image_is_found_by_its_path_with_its_size(folder, tmp_path):
    key, file = folder("a.jpg", "sub/a.jpg").find("sub/a.jpg")
    assert (key, file.path, file.size) == ("sub/a.jpg", str(tmp_path / "images/sub/a.jpg"), len("sub/a.jpg"))


def test_a_path_is_taken_before_one_that_ends_like_it(folder):
    assert folder("a.jpg", "sub/a.jpg").find("a.jpg").key == "a.jpg"


def test_a_unique_end_in_whole_folders_is_enough_in_either_direction(folder):
    images = folder("cam1/7.jpg", "cam2/8.jpg", "image17.jpg")
    assert images.find("7.jpg").key == "cam1/7.jpg"
    assert images.find("train/cam2/8.jpg").key == "cam2/8.jpg"
    assert refusal(images, "17.jpg") == "there is no image 17.jpg in DIR"
    assert refusal(images, "cam3/7.jpg") == "there is no image cam3/7.jpg in DIR (but there is cam1/7.jpg)"


def test_an_end_that_several_have_is_ambiguous(folder):
    said = refusal(folder("b/7.jpg", "a/7.jpg"), "7.jpg")
    assert said == "the image 7.jpg could be a/7.jpg or b/7.jpg in DIR; name it with its folder"


@pytest.mark.parametrize(
    ("there", "name", "suggested"),
    [
        ("photo_7.png", "photo_7.jpg", "photo_7.png"),
        ("photo_7.JPG", "photo_7.jpg", "photo_7.JPG"),
        ("Photo_7.jpg", "photo_7.jpg", "Photo_7.jpg"),
        ("foto_7.jpg", "photo_7.jpg", "foto_7.jpg"),
        ("photo_8.jpg", "photo_7.jpg", None),
        ("000000397133.jpg", "000000397134.jpg", None),
        ("sunset.jpg", "photo.jpg", None),
    ],
)
def test_a_missing_image_is_named_with_its_nearest_neighbour_but_never_another_number(folder, there, name, suggested):
    more = f" (but there is {suggested})" if suggested else ""
    assert refusal(folder(there), name) == f"there is no image {name} in DIR{more}"


def test_names_agree_in_unicode_however_the_disk_spells_them(folder):
    composed, apart = (unicodedata.normalize(form, "süß.jpg") for form in ("NFC", "NFD"))
    found = folder(apart).find(composed)
    assert found.key == composed
    assert found.file.path.endswith(apart)


def test_of_two_images_whose_names_are_the_same_text_none_is_taken(folder):
    composed, apart = (unicodedata.normalize(form, "süß.jpg") for form in ("NFC", "NFD"))
    images = folder(composed, apart, "b.jpg")
    assert len(images) == 2
    assert refusal(images, composed) == (
        f"two images in DIR are called {composed}, written with other characters: {composed!a} and"
        f" {apart!a}; rename one"
    )
    assert images.find("b.jpg").key == "b.jpg"


def test_other_files_do_not_count(folder):
    images = folder("a.JPG", "b.webp", "c.txt", "d.xml", ".e.jpg", "f", "sub/g.png")
    assert len(images) == 3
    assert refusal(images, "c.txt") == "there is no image c.txt in DIR"


def test_a_folder_with_a_slash_at_its_end_gives_the_same_keys(folder, tmp_path):
    folder("sub/a.jpg")
    assert ImageFolder(f"{tmp_path}/images/").find("sub/a.jpg").key == "sub/a.jpg"


def test_among_very_many_names_none_is_looked_for_that_is_like_a_missing_one(folder):
    names = ["".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=2)]
    few = folder(*(f"image-{name}.jpg" for name in names))
    assert refusal(few, "image-xx-.jpg").endswith(" (but there is image-xx.jpg)")
    many = folder(*(f"photo-{name}.jpg" for name in names))
    assert refusal(many, "image-xx-.jpg").endswith("in DIR")


def test_links_are_followed_into_the_given_folders_only(tmp_path):
    for name in ("images/real.jpg", "given/b.jpg", "given_too/c.jpg", "else/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    images = tmp_path / "images"
    (images / "a.jpg").symlink_to("real.jpg")
    (images / "b.jpg").symlink_to(tmp_path / "given/b.jpg")
    (images / "c.jpg").symlink_to(tmp_path / "given_too/c.jpg")
    (images / "d.jpg").symlink_to(tmp_path / "else/d.jpg")
    (images / "sub").symlink_to(tmp_path / "else")
    (images / "gone.jpg").symlink_to(tmp_path / "else/gone.jpg")
    (tmp_path / "link").symlink_to(images)
    for place in (images, tmp_path / "link"):
        within = ImageFolder(str(place), [str(tmp_path / "given")])
        for name in ("real.jpg", "a.jpg", "b.jpg"):
            assert within.find(name).file.path == str(place / name)
        outside = {
            "c.jpg": "given_too/c.jpg",
            "d.jpg": "else/d.jpg",
            "sub/d.jpg": "else/d.jpg",
            "gone.jpg": "else/gone.jpg",
        }
        for name, leads_to in outside.items():
            assert refusal(within, name) == (
                f"the image {name} in DIR is a link out of it, to {tmp_path / leads_to}; where links are to be"
                " followed, say --follow_links"
            )
    anywhere = ImageFolder(str(images))
    assert [anywhere.find(name).key for name in ("d.jpg", "sub/d.jpg")] == ["d.jpg", "sub/d.jpg"]
