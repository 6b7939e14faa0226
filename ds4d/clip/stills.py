"""Still images by Pillow, as a browser shows them: upright, in sRGB, 8 bit, straight alpha."""

from __future__ import annotations

import io
import struct
import warnings
from functools import lru_cache
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL.Image import DecompressionBombError

from ..config import ClipConfig
from ..errors import UserError
from .limits import check_pixels

if TYPE_CHECKING:
    from PIL import Image, ImageCms

# Nothing else is opened, whatever a file's name: some of Pillow's formats run other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
LONGEST = 1080  # pixels; larger frames are scaled down while they are read
SIDEWAYS = 5  # EXIF orientations from here on swap width and height
STACKS = ("TIFF", "HEIF")
ORIENTATION = 0x0112  # EXIF tag
# What Pillow raises for broken files.
DAMAGED = (
    OSError, SyntaxError, EOFError, ValueError, struct.error, OverflowError, MemoryError,
    IndexError, RuntimeError, DecompressionBombError,
)  # fmt: skip


def open_image(file: IO[bytes], name: str, config: ClipConfig) -> Image.Image:
    """Open an image with Pillow, and check its header against the limits.

    Raises:
        UserError: it is too large.
        PIL.UnidentifiedImageError: it is not an image of the formats above.
    """
    from PIL import Image

    formats = FORMATS
    if file.read(12)[4:8] == b"ftyp":  # HEIC and AVIF begin so
        _register_heif()
        formats = (*FORMATS, "HEIF")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=formats)
        except Image.DecompressionBombError as error:
            raise UserError(
                f"The frames of {name} are too large.",
                f"Scale them to at most {config.max_pixels / 1e6:.1f} million pixels.",
            ) from error
    check_pixels(name, *image.size, config)
    return image


@lru_cache(1)
def _register_heif() -> None:
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False)


def is_stack(image: Image.Image) -> bool:
    """True if a file holds several images that know no time: pages of a TIFF, or a burst."""
    return image.format in STACKS and getattr(image, "n_frames", 1) > 1


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image as it is shown, from its header."""
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode it to look further
        return image.size
    turned = image.getexif().get(ORIENTATION, 1) >= SIDEWAYS
    return image.size[::-1] if turned else image.size


def pixels(image: Image.Image, longest: int = LONGEST) -> np.ndarray:
    """An image as it is shown, at most `longest` pixels long: [H, W, 3 or 4] uint8."""
    from PIL import Image, ImageOps

    profile = image.info.get("icc_profile")
    transparent = image.has_transparency_data
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bit(np.asarray(image)))
    if image.mode == "CMYK" and profile:
        image = _in_srgb(image, profile)
        profile = None
    image = image.convert("RGBA" if transparent else "RGB")
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    if profile:
        image = _in_srgb(image, profile)
    return np.asarray(image)


def _eight_bit(values: np.ndarray) -> np.ndarray:
    """Grey levels [H, W] of 16 or 32 bits as uint8: the range that they use is told by its end."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float32), posinf=1.0, neginf=0.0)
        top = next((end for end in (1.0, 255.0, 65535.0) if values.max() <= end * 1.001), None)
        top = float(values.max()) if top is None else top
        return (values * (255 / top) + 0.5).clip(0, 255).astype(np.uint8)
    return (values.astype(np.float32) / 257).clip(0, 255).astype(np.uint8)


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image from the colours of its ICC profile; a broken profile is ignored."""
    from PIL import ImageCms

    try:
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        transform = _transform(profile, image.mode, mode)
        return image if transform is None else ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, *DAMAGED):
        return image


@lru_cache(8)
def _transform(profile: bytes, source: str, target: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB; None for a profile that is sRGB already."""
    from PIL import ImageCms

    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = given.profile.xcolor_space.strip()
    if space != {"RGBA": "RGB"}.get(source, source):
        return None  # a grey profile of an image that is RGB by now
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    named = "srgb" in ImageCms.getProfileDescription(given).lower()
    if named and given.profile.red_colorant and _colorants(given) == _colorants(srgb):
        return None
    return ImageCms.buildTransform(
        given, srgb, source, target,
        ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )  # fmt: skip


def _colorants(profile: ImageCms.ImageCmsProfile) -> list[float]:
    """XYZ of the primaries of a profile, as far as two programs agree on those of sRGB."""
    core = profile.profile
    colorants = (core.red_colorant, core.green_colorant, core.blue_colorant)
    return [round(value, 2) for colorant in colorants for value in colorant[0]]
