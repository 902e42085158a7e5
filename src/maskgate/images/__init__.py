"""Safe decoding, encoding and finding of pictures: the only door that pictures come in by."""

from maskgate.images.arrays import check_image
from maskgate.images.decoding import BACKGROUND, decode_image, read_image
from maskgate.images.encoding import encode_image, write_image
from maskgate.images.finding import find_images
from maskgate.images.limits import DEFAULT_LIMITS, EXTENSIONS, FORMATS, ImageLimits

__all__ = [
    "BACKGROUND",
    "DEFAULT_LIMITS",
    "EXTENSIONS",
    "FORMATS",
    "ImageLimits",
    "check_image",
    "decode_image",
    "encode_image",
    "find_images",
    "read_image",
    "write_image",
]
