"""A frame as the encoders take it: over a plain background, resized, cropped, normalised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import UserError
from ...weights import read_json

GREY, WHITE = 127, 255  # backgrounds that Zero123++ and InstantMesh's UNet were trained with


@dataclass(frozen=True)
class Pixels:
    """What a preprocessor_config.json says, for one encoder."""

    shortest: int | None  # side that the picture is resized to, pixels; None = as it is
    crop: tuple[int, int] | None  # height and width cut from the middle; None = everything
    filter: int  # PIL's number of the resampling filter
    mean: tuple[float, ...]  # of each channel, or of all
    deviation: tuple[float, ...]
    scale: float  # what levels 0 to 255 are multiplied with before

    @staticmethod
    def read(folder: Path) -> Pixels:
        """Read FOLDER/preprocessor_config.json; mean and deviation may be single numbers.

        Raises:
            UserError: the file is missing, or lacks something.
        """
        file = folder / "preprocessor_config.json"
        facts = read_json(file)
        try:
            shortest = facts["size"]["shortest_edge"] if facts["do_resize"] else None
            crop = facts["crop_size"]
            return Pixels(
                shortest,
                (crop["height"], crop["width"]) if facts["do_center_crop"] else None,
                facts["resample"],
                tuple(np.atleast_1d(facts["image_mean"]).tolist()),
                tuple(np.atleast_1d(facts["image_std"]).tolist()),
                facts["rescale_factor"],
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"The file {file} lacks a setting.", "Download it again.") from error

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB picture as [3, H, W] float32."""
        if self.shortest is not None:
            shorter = min(image.size)
            size = [int(self.shortest * side / shorter) for side in image.size]
            image = image.resize(size, Image.Resampling(self.filter))
        array = np.asarray(image)
        if self.crop is not None:
            (height, width), (tall, wide) = self.crop, array.shape[:2]
            top, left = (tall - height) // 2, (wide - width) // 2
            array = array[top : top + height, left : left + width]
        levels = array.astype(np.float64) * self.scale
        normal = (levels.astype(np.float32) - np.float32(self.mean)) / np.float32(self.deviation)
        return torch.from_numpy(normal).permute(2, 0, 1).contiguous()


def over_plain(frame: np.ndarray, background: int) -> Image.Image:
    """A picture [H, W, 3] or straight-alpha [H, W, 4] uint8 over a grey level, as RGB."""
    image = Image.fromarray(frame)
    if image.mode == "RGB":
        return image
    plain = Image.new("RGB", image.size, (background,) * 3)
    plain.paste(image, mask=image.getchannel("A"))
    return plain
