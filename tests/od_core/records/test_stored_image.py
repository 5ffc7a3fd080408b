"""How image files go into records: what stays as it is, and what TensorFlow then sees."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from od_core.errors import ImageError
from od_core.images import decode_image, encode_jpeg, read_header
from od_core.records.stored_image import MADE_PNG, SCALED, TURNED, ImageRules, StoredImage, stored_image
from tests.pipelines.made_annotations import picture


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_jpeg_and_png_are_stored_byte_for_byte(format):
    encoded = picture(format=format)
    assert stored_image(encoded) == StoredImage(encoded, format.lower(), 40, 30, 1, format.lower())
    assert stored_image(encoded).changes == ()


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA"])
def test_every_kind_of_png_is_stored_byte_for_byte(mode):
    encoded = saved(Image.open(io.BytesIO(picture())).convert(mode), "PNG")
    assert stored_image(encoded).encoded == encoded


@pytest.mark.parametrize(
    ("format", "options"), [("WEBP", {"lossless": True}), ("TIFF", {}), ("GIF", {}), ("BMP", {}), ("WEBP", {})]
)
def test_what_tensorflow_would_not_read_as_one_picture_becomes_a_png_of_the_same_pixels(format, options):
    encoded = saved(Image.open(io.BytesIO(picture(format="PNG"))).convert("P").convert("RGB"), format, **options)
    one = stored_image(encoded)
    assert (one.format, one.original_format, one.orientation) == ("png", format.lower(), 1)
    assert one.changes == (MADE_PNG,)
    np.testing.assert_array_equal(decode_image(one.encoded), decode_image(encoded))


def test_of_an_animation_the_first_frame_is_stored():
    frames = [Image.open(io.BytesIO(picture(number, format="GIF"))) for number in range(3)]
    encoded = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(stored_image(encoded).encoded), decode_image(encoded))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_jpeg_is_stored_upright_as_jpeg(orientation):
    encoded = picture(orientation=orientation)
    one = stored_image(encoded)
    wanted = decode_image(encoded)
    assert (one.format, one.orientation, one.changes) == ("jpeg", orientation, (TURNED,))
    assert (one.height, one.width) == wanted.shape[:2] == ((40, 30) if orientation >= 5 else (30, 40))
    assert read_header(one.encoded).orientation == 1
    assert np.abs(decode_image(one.encoded).astype(int) - wanted).mean() < 3


def test_a_turned_png_is_stored_upright_without_loss():
    encoded = picture(format="PNG", orientation=6)
    one = stored_image(encoded)
    assert (one.format, one.width, one.height) == ("png", 30, 40)
    np.testing.assert_array_equal(decode_image(one.encoded), decode_image(encoded))


def test_tensorflow_sees_the_pixels_of_what_is_stored():
    import tensorflow as tf

    palette = Image.open(io.BytesIO(picture())).convert("P")
    for encoded in (saved(palette, "BMP"), saved(palette, "GIF"), saved(palette, "PNG"), picture(format="TIFF")):
        one = stored_image(encoded)
        np.testing.assert_array_equal(tf.io.decode_image(one.encoded, channels=3).numpy(), decode_image(encoded))


@pytest.mark.parametrize("encoded", [b"", b"no image", picture()[:500], picture(format="PNG")[:-30]])
def test_damaged_files_are_refused(encoded):
    with pytest.raises(ImageError):
        stored_image(encoded)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def of_mode(mode: str) -> Image.Image:
    image = Image.fromarray(np.kron(noise(3, 4, 3), np.ones((10, 10, 1), np.uint8))).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(noise(30, 40)))
    return image


def sixteen_bits(*shape: int) -> bytes:
    written, encoded = cv2.imencode(".png", noise(*shape, dtype=np.uint16))
    assert written
    return encoded.tobytes()


def animated(format: str) -> bytes:
    frames = [Image.fromarray(noise(30, 40, 3) // (number + 1)) for number in range(3)]
    return saved(frames[0], format, save_all=True, append_images=frames[1:])


AS_THEY_ARE = {
    **{f"JPEG {mode}": saved(of_mode(mode), "JPEG") for mode in ("L", "RGB", "CMYK")},
    "progressive CMYK JPEG": saved(of_mode("CMYK"), "JPEG", progressive=True),
    "RGB JPEG": saved(of_mode("RGB"), "JPEG", keep_rgb=True),
    "several JPEGs in one": animated("MPO"),
    **{f"PNG {mode}": saved(of_mode(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "PNG of 4 colours": saved(of_mode("RGB").quantize(4), "PNG", bits=2),
    "PNG with transparent colours": saved(of_mode("P"), "PNG", transparency=bytes(range(200))),
    "PNG with a transparent colour": saved(of_mode("RGB"), "PNG", transparency=(1, 2, 3)),
    "PNG of 16 bits, grey": sixteen_bits(30, 40),
    "PNG of 16 bits, colours": sixteen_bits(30, 40, 3),
    "PNG of 16 bits, alpha": sixteen_bits(30, 40, 4),
    "animated PNG": animated("PNG"),
}
MADE_PNGS = {
    "animated GIF": animated("GIF"),
    "animated WebP": animated("WEBP"),
    "WebP with alpha": saved(of_mode("RGBA"), "WEBP", lossless=True, exact=True),
    **{f"BMP {mode}": saved(of_mode(mode), "BMP") for mode in ("1", "L", "P", "RGB")},
    **{f"TIFF {mode}": saved(of_mode(mode), "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK")},
    "TIFF of 16 bits": saved(Image.fromarray(noise(30, 40, dtype=np.uint16)), "TIFF"),
    "TIFF of several pages": animated("TIFF"),
}


@pytest.mark.parametrize("kind", [*AS_THEY_ARE, *MADE_PNGS])
def test_tensorflow_sees_in_the_record_what_infer_sees_in_the_file(kind):
    import tensorflow as tf

    def decode_jpeg(encoded: bytes) -> np.ndarray:
        return tf.io.decode_jpeg(encoded, channels=3).numpy()

    original = {**AS_THEY_ARE, **MADE_PNGS}[kind]
    one = stored_image(original)
    assert (one.encoded == original) == (kind in AS_THEY_ARE)
    assert one.changes == (() if kind in AS_THEY_ARE else (MADE_PNG,))
    wanted = decode_image(original, decode_jpeg=decode_jpeg)
    # As the API's decoder does, by the format that the record names; decode_image must see the same.
    by_format = {"jpeg": decode_jpeg, "png": lambda encoded: tf.io.decode_png(encoded, channels=3).numpy()}
    np.testing.assert_array_equal(by_format[one.format](one.encoded), wanted)
    np.testing.assert_array_equal(tf.io.decode_image(one.encoded, channels=3).numpy(), wanted)


# Rules


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_exif_keep_leaves_the_file_as_it_is(format, orientation):
    encoded = picture(format=format, orientation=orientation)
    one = stored_image(encoded, ImageRules(exif="keep"))
    assert one == StoredImage(encoded, format.lower(), 40, 30, orientation, format.lower())
    assert not one.is_upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["WEBP", "TIFF"])
def test_exif_keep_does_not_turn_what_has_to_become_a_png(format, orientation):
    options = {"lossless": True} if format == "WEBP" else {}
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = saved(Image.open(io.BytesIO(picture(format="PNG"))), format, exif=exif, **options)
    one = stored_image(encoded, ImageRules(exif="keep"))
    assert (one.width, one.height, one.orientation, one.changes) == (40, 30, orientation, (MADE_PNG,))
    np.testing.assert_array_equal(decode_image(one.encoded), decode_image(picture(format="PNG")))


def test_exif_fail_refuses_what_is_not_upright():
    with pytest.raises(ImageError, match="orientation is 6; store it upright, or choose --exif rotate or keep"):
        stored_image(picture(orientation=6), ImageRules(exif="fail"))
    assert stored_image(picture(), ImageRules(exif="fail")).encoded == picture()


@pytest.mark.parametrize(
    ("size", "max_side", "wanted"),
    [
        ((40, 30), 40, (40, 30)),
        ((40, 30), 39, (39, 29)),
        ((40, 30), 20, (20, 15)),
        ((30, 40), 20, (15, 20)),
        ((400, 3), 40, (40, 1)),
    ],
)
def test_larger_images_are_scaled_down(size, max_side, wanted):
    encoded = picture(width=size[0], height=size[1])
    one = stored_image(encoded, ImageRules(max_side=max_side))
    assert (one.width, one.height) == wanted == read_header(one.encoded)[1:3]
    assert (one.full_size, one.changes) == ((None, ()) if wanted == size else (size, (SCALED,)))
    assert one.format == "jpeg"


def test_what_is_scaled_is_the_picture():
    pixels = np.full((60, 80, 3), 200, np.uint8)
    pixels[:, 40:] = 20
    small = decode_image(stored_image(saved(Image.fromarray(pixels), "PNG"), ImageRules(max_side=8)).encoded)
    assert small.shape == (6, 8, 3)
    np.testing.assert_allclose(small[:, [0, 1, 6, 7], 0], [[200, 200, 20, 20]] * 6, atol=1)


def test_an_image_can_be_turned_and_scaled_and_made_png_at_once():
    exif = Image.Exif()
    exif[0x0112] = 8
    one = stored_image(saved(of_mode("RGB"), "WEBP", exif=exif), ImageRules(max_side=20))
    assert (one.format, one.width, one.height) == ("png", 15, 20)
    assert (one.changes, one.full_size) == ((TURNED, SCALED, MADE_PNG), (30, 40))


def test_the_quality_of_jpegs_that_are_encoded_anew():
    for quality in (30, 95):
        one = stored_image(picture(orientation=3), ImageRules(jpeg_quality=quality))
        assert one.encoded == encode_jpeg(decode_image(picture(orientation=3)), quality)
        assert stored_image(picture(), ImageRules(jpeg_quality=quality)).encoded == picture()


def test_reading_headers_only_lets_through_what_is_cut_off():
    cut = picture()[:-100]
    with pytest.raises(ImageError):
        stored_image(cut)
    assert stored_image(cut, ImageRules(verify="header")).encoded == cut
    for nonsense in (b"no image", picture(orientation=6)[:-100]):
        with pytest.raises(ImageError):
            stored_image(nonsense, ImageRules(verify="header"))
