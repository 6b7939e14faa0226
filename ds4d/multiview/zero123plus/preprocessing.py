"""Image preprocessing of Zero123++'s encoders: a plain background, then transformers' processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessorPil

from ...errors import UserError
from ...weights import read_json

GREY, WHITE = 127, 255  # backgrounds that Zero123++ and InstantMesh's UNet were trained with
REQUIRED = (
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "rescale_factor",
    "image_mean", "image_std",
)  # fmt: skip


def load_image_processor(folder: Path) -> CLIPImageProcessorPil:
    """The processor that FOLDER/preprocessor_config.json describes.

    PIL resizes, as in the published pipeline: torchvision's filters round otherwise.

    Raises:
        UserError: the file is missing or damaged, or lacks a setting, for which transformers would
            take CLIP's.
    """
    file = folder / "preprocessor_config.json"
    config = read_json(file)
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise UserError(f"The file {file} lacks {', '.join(missing)}.", "Download it again.")
    return CLIPImageProcessorPil.from_dict(config)


def over_background(
    frame: np.ndarray,  # [H, W, 3], or [H, W, 4] with straight alpha, uint8
    level: int,  # grey level of the background, 0..255
) -> Image.Image:
    """The frame as an RGB image over a plain background."""
    image = Image.fromarray(frame)
    if image.mode == "RGB":
        return image
    background = Image.new("RGB", image.size, (level,) * 3)
    background.paste(image, mask=image.getchannel("A"))
    return background
