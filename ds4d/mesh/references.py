"""Materials and textures that a mesh file refers to: beside it, or embedded in it.

Readers of meshes open whatever a file names. Here they get regular files of the mesh's own folder
alone, and pictures only in the formats and sizes that textures have.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import UserError

MAX_BYTES = 1 << 30  # of a mesh file, and of each file that it refers to
MAX_PIXELS = 8192 * 8192  # of all textures of a mesh together
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF")
# What a glTF tree raises whose entries are of other types, or point nowhere.
UNREADABLE = (
    ValueError, LookupError, struct.error, AttributeError, TypeError, RecursionError, OSError
)  # fmt: skip
PICTURES = re.compile(r"\.(png|jpe?g|webp|bmp|tga|tiff?)$", re.IGNORECASE)


class References:
    """The files that one mesh refers to, as a resolver of trimesh.

    Files outside of the mesh's folder do not exist for it, whether they are there or not.
    """

    def __init__(self, file: Path):
        self.folder, self.file_name = file.parent.resolve(), file.name
        self.missing: dict[str, None] = {}  # names without a file, in the order they were asked for
        self.refused: UserError | None = None  # trimesh swallows what a resolver raises
        self.pixels = 0

    def get(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError where there is none that may be read."""
        name = name.strip()
        path = self._find(name)
        data = path.read_bytes() if path else b""
        if path is None or (PICTURES.search(path.name) and not self.is_texture(data)):
            self.missing[re.split(r"[/\\]", unquote(name))[-1]] = None
            raise FileNotFoundError(name)
        return data

    __getitem__ = get

    def is_texture(self, data: bytes) -> bool:
        """True for a picture that may be read; the pixels of a mesh's textures are counted."""
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                    width, height = image.size
        except Image.DecompressionBombError:
            width = height = MAX_PIXELS
        except Exception:  # its readers raise exceptions of all kinds on corrupt files
            return False
        self.pixels += width * height
        if self.pixels > MAX_PIXELS:
            self.refused = UserError(
                f"The textures of the mesh {self.file_name} are too large.",
                f"Scale them to at most {MAX_PIXELS / 1e6:.0f} million pixels together.",
            )
        return self.refused is None

    def _find(self, name: str) -> Path | None:
        """The file of a name: as it stands, without folders, or after options of a material."""
        for candidate in (name, unquote(name), re.split(r"[/\\]", name)[-1], name.split()[-1:]):
            path = self.folder / "".join(candidate)
            try:
                inside = path.resolve().is_relative_to(self.folder)
                if inside and path.is_file() and path.stat().st_size <= MAX_BYTES:
                    return path
            except (OSError, ValueError):  # names that no file can have
                continue
        return None


def drop_unreadable_images(tree: dict[str, Any], binary: bytes, references: References) -> bool:
    """Replace embedded images of a glTF tree that are no textures by names of missing files.

    Args:
        tree: the JSON part; changed in place.
        binary: the first buffer of a binary file.

    Returns:
        True if an image was replaced.
    """
    changed = False
    for index, image in enumerate(tree.get("images", [])):
        data = _embedded(image, tree, binary, references)
        if data is not None and not references.is_texture(data):
            tree["images"][index] = {"uri": f"image {index + 1} (embedded)"}
            changed = True
    return changed


def _embedded(
    image: dict[str, Any], tree: dict[str, Any], binary: bytes, references: References
) -> bytes | None:
    """The bytes of an image inside the file or its buffers; None for a file of its own."""
    if "bufferView" not in image:
        uri = image.get("uri", "")
        return _decoded(uri) if uri.startswith("data:") else None
    view = tree["bufferViews"][image["bufferView"]]
    uri = tree["buffers"][view["buffer"]].get("uri")
    if uri is None:
        data = binary
    else:
        data = _decoded(uri) if uri.startswith("data:") else references.get(uri)
    start = view.get("byteOffset", 0)
    return data[start : start + view["byteLength"]]


def _decoded(uri: str) -> bytes:
    try:
        return base64.b64decode(uri.partition(",")[2])
    except binascii.Error:
        return b""
