import pytest

from od_core.annotations.annotated import AnnotatedImage, AnnotationFault
from od_core.annotations.image_files import ImageFiles
from od_core.errors import UsageError


def test_every_image_once_without_objects(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.jpg", "sub/a.PNG", "notes.txt", ".hidden.jpg", "cafe\u0301.webp"):
        (tmp_path / name).touch()
    found = ImageFiles(str(tmp_path))
    assert (found.format, found.label_map, found.images_folder) == ("images", None, str(tmp_path))
    names = ["b.jpg", "caf\u00e9.webp", "sub/a.PNG"]
    expected = [AnnotatedImage(name, str(tmp_path), name, "", None, None, ()) for name in names]
    assert list(found.images()) == list(found.images()) == expected


def test_a_name_that_no_record_can_have(tmp_path):
    (tmp_path / "a\nb.jpg").touch()
    (fault,) = ImageFiles(str(tmp_path)).images()
    assert isinstance(fault, AnnotationFault)
    assert (fault.place, fault.name, fault.of_object) == ("a\\nb.jpg", "a\nb.jpg", False)


def test_what_is_no_folder(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UsageError, match="a file, expected a folder of images"):
        ImageFiles(str(tmp_path / "a.jpg"))
    with pytest.raises(UsageError, match=r"no such file or folder; did you mean .*a\.jpg"):
        ImageFiles(str(tmp_path / "b.jpg"))
