"""The JPEG decoders a detector can be fed from. They differ by about a grey level, and scores with them by up to 0.2.

`tensorflow` is what the TensorFlow Object Detection API trains and infers with. `pillow` gives the pixels that OpenCV
and most of today's viewers give (libjpeg-turbo's exact transform), for models that were trained on those. OpenCV itself
is not offered: it fills in what a cut-off file lacks without a word.
"""

from collections.abc import Callable

from od_core.images import ImageArray
from od_core.model.detector import Detector

DEFAULT_DECODER = "tensorflow"

# Name -> what provenance calls it.
JPEG_DECODERS = {
    DEFAULT_DECODER: "tf.io.decode_jpeg with its defaults (INTEGER_FAST)",
    "pillow": "Pillow (libjpeg-turbo with its defaults)",
}


def jpeg_decoder(name: str, detector: Detector) -> Callable[[bytes], ImageArray] | None:
    """What `images.decode_image` takes as `decode_jpeg`: None is Pillow, which it uses by itself."""
    return detector.decode_jpeg if name == DEFAULT_DECODER else None
