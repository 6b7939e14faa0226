"""Clips of many kinds, made by ffmpeg and Pillow: python -m tests.clip.make_inputs FOLDER.

Tests call the functions one by one; the script writes all of them, to be tried by hand.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw, ImageFont

from tests.clip.clips import encode, ffmpeg, moving, save_images

COLOR = (200, 120, 60)
pillow_heif.register_heif_opener()


def plain(size: tuple[int, int] = (96, 64), count: int = 4) -> np.ndarray:
    """Frames [T, H, W, 3] of one colour, and a white stripe that moves, so that nothing repeats."""
    frames = np.full((count, size[1], size[0], 3), COLOR, np.uint8)
    for index, frame in enumerate(frames):
        frame[:4, 4 * index : 4 * index + 8] = 255
    return frames


def repeated(path: Path) -> Path:
    """12 frames per second brought to 48."""
    return encode(path, moving(10).repeat(4, axis=0), "-pix_fmt", "yuv420p")


def blank_ends(path: Path) -> Path:
    """Black frames before and after the clip, and one that fades in."""
    frames = moving(12)
    black = np.zeros_like(frames[:3])
    return encode(path, np.concatenate([black, frames, black[:2]]), "-pix_fmt", "yuv420p")


def paused(path: Path) -> Path:
    """A motion that rests for a second in its middle."""
    frames = moving(12)
    return encode(path, np.concatenate([frames[:6], frames[5:6].repeat(10, 0), frames[6:]]),
                  "-pix_fmt", "yuv420p")  # fmt: skip


def untagged(path: Path, size: tuple[int, int], matrix: str) -> Path:
    """A video of one colour by a YUV matrix that it does not name."""
    scale = f"scale=out_color_matrix={matrix}:out_range=tv,setparams=colorspace=unknown"
    return encode(path, plain(size=size), "-vf", scale, "-pix_fmt", "yuv444p")


def full_range(path: Path) -> Path:
    """A video that uses all values from 0 to 255, and says so."""
    return encode(path, plain(), "-vf", "scale=out_range=pc", "-pix_fmt", "yuvj444p",
                  "-color_range", "pc")  # fmt: skip


def side_by_side(path: Path) -> Path:
    """Black bars at the sides of the picture."""
    frames = pictured(64, 48)
    bars = np.zeros((len(frames), 48, 96, 3), np.uint8)
    bars[:, :, 16:80] = frames
    return encode(path, bars, "-pix_fmt", "yuv420p")


def captioned(path: Path) -> Path:
    """White bars above and below the picture, and letters in them."""
    frames = pictured(96, 64)
    bars = np.full((len(frames), 128, 96, 3), 255, np.uint8)
    bars[:, 32:96] = frames
    for column in range(20, 70, 6):
        bars[:, 10:20, column : column + 3] = 0
    return encode(path, bars, "-pix_fmt", "yuv444p", "-qp", "0")


def pictured(width: int, height: int, count: int = 12) -> np.ndarray:
    """A square that moves before a gradient, [T, H, W, 3]."""
    x, y = np.meshgrid(np.linspace(90, 200, width), np.linspace(0, 40, height))
    frames = np.stack([np.stack([x + y, x, 220 - y], -1).astype(np.uint8)] * count)
    for index, frame in enumerate(frames):
        frame[height // 3 : height // 2, 6 + 3 * index : 18 + 3 * index] = (200, 20, 20)
    return frames


def delayed(path: Path, delays: list[int]) -> Path:
    """An animated image whose frames have delays of their own, milliseconds."""
    images = [Image.fromarray(frame) for frame in moving(len(delays))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays)
    return path


def with_poster(path: Path) -> Path:
    """An animated PNG whose first image is shown only where animations are not."""
    images = [Image.fromarray(frame) for frame in moving(6)]
    poster = Image.new("RGB", images[0].size, "blue")
    poster.save(path, save_all=True, append_images=images, default_image=True, duration=80)
    return path


def turned(folder: Path, suffix: str) -> Path:
    """Images that are stored on their side, and say so by EXIF."""
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for index, frame in enumerate(moving(4)[:, :, :48]):
        stored = Image.fromarray(frame).transpose(Image.Transpose.ROTATE_90)
        stored.save(folder / f"{index}{suffix}", exif=exif)
    return folder


def zipped(path: Path) -> Path:
    """A zip of pictures as file managers make it, with its own files beside them."""
    with zipfile.ZipFile(path, "w") as archive:
        for index, frame in enumerate(moving(5)):
            with archive.open(f"shots/{index}.png", "w") as file:
                Image.fromarray(frame).save(file, "PNG")
            archive.writestr(f"__MACOSX/shots/._{index}.png", b"no picture")
    return path


def beside_each_other(folder: Path) -> Path:
    """Pictures with their masks, depths and a JPEG of each, and notes."""
    save_images(folder, moving(4), "{:03d}.png")
    save_images(folder, moving(4), "{:03d}.jpg")
    save_images(folder, moving(4)[..., 0], "mask_{:03d}.png")
    save_images(folder, moving(4)[..., 0], "{:03d}_depth.png")
    (folder / "notes.txt").write_text("none")
    return folder


def in_subfolders(folder: Path) -> Path:
    """Pictures in one folder, their masks in another."""
    save_images(folder / "images", moving(4), "{:03d}.png")
    save_images(folder / "masks", moving(4)[..., 0], "{:03d}.png")
    return folder


def dolby(path: Path) -> Path:
    """Dolby Vision as phones' and stores' files of profile 5 are tagged: no colours for others."""
    return encode(path, moving(4), "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-strict",
                  "unofficial", "-x265-params", "log-level=none", "-tag:v", "dvh1")  # fmt: skip


def both_eyes(path: Path, mode: str) -> Path:
    """A 3D video: the pictures of both eyes in each frame, the second one darker."""
    left = moving(6)
    frames = np.concatenate([left, left // 2], 2 if mode == "left_right" else 1)
    return encode(path, frames, "-pix_fmt", "yuv420p", "-metadata:s:v:0", f"stereo_mode={mode}")


def panorama(path: Path) -> Path:
    """A video that says by a box of its track, as 360 degree cameras write it, that it is one."""
    data = bytearray(encode(path, moving(4), "-pix_fmt", "yuv420p").read_bytes())
    tags = {"Spherical": "true", "Stitched": "true", "StitchingSoftware": "one",
            "ProjectionType": "equirectangular"}  # fmt: skip
    words = "".join(f"<GSpherical:{tag}>{value}</GSpherical:{tag}>" for tag, value in tags.items())
    words = f"<rdf:SphericalVideo>{words}</rdf:SphericalVideo>".encode()
    kind = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
    box = struct.pack(">I4s", 24 + len(words), b"uuid") + kind + words
    track = data.index(b"trak") - 4
    for start in (data.index(b"moov") - 4, track):  # the index lies behind the pictures
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(box))
    end = track + struct.unpack_from(">I", data, track)[0] - len(box)
    path.write_bytes(data[:end] + box + data[end:])
    return path


def stack(path: Path, count: int = 6) -> Path:
    """Several images in one file, which know no time: pages of a TIFF, a burst as HEIC."""
    images = [Image.fromarray(frame) for frame in moving(count)]
    images[0].save(path, save_all=True, append_images=images[1:])
    return path


def stacks(folder: Path) -> Path:
    """Images of two pages each."""
    folder.mkdir()
    for index in range(3):
        stack(folder / f"{index}.tif", 2)
    return folder


def gain_mapped(folder: Path) -> Path:
    """JPEGs as phones take them: behind each picture lies a smaller one, its gain map."""
    folder.mkdir()
    for index, frame in enumerate(moving(4)):
        gain = Image.new("L", (32, 32), 99)
        picture = Image.fromarray(frame)
        picture.save(folder / f"{index}.jpg", "MPO", save_all=True, append_images=[gain])
    return folder


def live_photo(folder: Path) -> Path:
    """A picture and the video of the same moment."""
    folder.mkdir()
    Image.fromarray(moving(1)[0]).save(folder / "IMG_1.jpg")
    encode(folder / "IMG_1.mov", moving(6), "-pix_fmt", "yuv420p")
    return folder


def zipped_by_windows(path: Path) -> Path:
    """A zip whose names have backslashes, as some programs write them."""
    with zipfile.ZipFile(path, "w") as archive:
        for folder, frames in {"frames": moving(5), "masks": moving(5)}.items():
            for index, frame in enumerate(frames):
                data = io.BytesIO()
                Image.fromarray(frame).save(data, "PNG")
                entry = zipfile.ZipInfo()
                entry.filename = f"shots\\{folder}\\{index:03d}.png"
                archive.writestr(entry, data.getvalue())
    return path


def in_seconds(folder: Path) -> Path:
    """Images that are named by their times."""
    folder.mkdir()
    for name, frame in zip(["0.04", "0.08", "0.1", "0.12", "0.2", "1.0"], moving(6), strict=True):
        Image.fromarray(frame).save(folder / f"{name}.png")
    return folder


def copied(folder: Path) -> Path:
    """Numbered images, of which file managers and browsers have made copies."""
    folder.mkdir()
    frames = moving(6)
    names = [*range(1, 6), "3 - Copy", "3 copy 2", "5 (1)"]
    for name, frame in zip(names, frames[[0, 1, 2, 3, 4, 2, 2, 4]], strict=True):
        Image.fromarray(frame).save(folder / f"{name}.png")
    return folder


def inverted_cmyk(folder: Path) -> Path:
    """CMYK JPEGs, which hold inverted values as Photoshop writes them."""
    folder.mkdir()
    for index, frame in enumerate(moving(4)):
        Image.fromarray(frame).convert("CMYK").save(folder / f"{index}.jpg", quality=97)
    return folder


def disposed(path: Path, disposal: int) -> Path:
    """A GIF or an animated PNG of partial frames, which leaves, clears or restores each."""
    images = [Image.fromarray(frame) for frame in moving(6, alpha=True)]
    images[0].save(path, save_all=True, append_images=images[1:], disposal=disposal, duration=40)
    return path


def subtitled(path: Path) -> Path:
    """White letters with a black outline over the picture."""
    pictures = [Image.fromarray(frame) for frame in pictured(480, 360)]
    font = ImageFont.load_default(26)
    for index, picture in enumerate(pictures):
        text = "wait for the end" if index < 6 else "here it comes"
        drawing = ImageDraw.Draw(picture)
        place = ((480 - drawing.textlength(text, font)) / 2, 310)
        drawing.text(place, text, "white", font, stroke_width=2, stroke_fill="black")
    return encode(path, np.stack(list(map(np.asarray, pictures))), "-pix_fmt", "yuv420p")


def two_rates(path: Path) -> Path:
    """A recording of a screen: 20 frames in a second, then one a second."""
    frames = moving(24, step=1)
    times = [*(index / 20 for index in range(20)), 1.0, 2.0, 3.0, 4.0]
    lasts = np.diff([*times, 5.0])
    listing = path.with_suffix(".txt")
    save_images(path.with_suffix(""), frames)
    listing.write_text(
        "ffconcat version 1.0\n"
        + "".join(
            f"file '{path.with_suffix('') / f'{index}.png'}'\nduration {last}\n"
            for index, last in enumerate(lasts)
        )
    )
    ffmpeg("-f", "concat", "-safe", "0", "-i", str(listing), "-fps_mode", "vfr",
           "-pix_fmt", "yuv420p", str(path))  # fmt: skip
    return path


ALL: dict[str, Callable[[Path], Path]] = {
    "repeated.mp4": repeated,
    "blank_ends.mp4": blank_ends,
    "paused.mp4": paused,
    "untagged_hd.mp4": lambda path: untagged(path, (1280, 720), "bt709"),
    "untagged_sd.mp4": lambda path: untagged(path, (640, 480), "bt601"),
    "full_range.mp4": full_range,
    "side_by_side.mp4": side_by_side,
    "captioned.mp4": captioned,
    "delayed.gif": lambda path: delayed(path, [50, 50, 300, 0, 10, 50]),
    "delayed.webp": lambda path: delayed(path, [50, 50, 300, 0, 10, 50]),
    "delayed.png": lambda path: delayed(path, [50, 50, 300, 0, 10, 50]),
    "poster.png": with_poster,
    "turned_webp": lambda path: turned(path, ".webp"),
    "turned_jpg": lambda path: turned(path, ".jpg"),
    "turned_png": lambda path: turned(path, ".png"),
    "turned_tif": lambda path: turned(path, ".tif"),
    "pictures.zip": zipped,
    "beside": beside_each_other,
    "subfolders": in_subfolders,
    "two_rates.mp4": two_rates,
    "dolby.mp4": dolby,
    "eyes_beside.mkv": lambda path: both_eyes(path, "left_right"),
    "eyes_above.mkv": lambda path: both_eyes(path, "top_bottom"),
    "panorama.mp4": panorama,
    "stack.tif": stack,
    "burst.heic": stack,
    "stacks": stacks,
    "gain_mapped": gain_mapped,
    "live_photo": live_photo,
    "windows.zip": zipped_by_windows,
    "in_seconds": in_seconds,
    "copied": copied,
    "inverted_cmyk": inverted_cmyk,
    "left.gif": lambda path: disposed(path, 1),
    "cleared.gif": lambda path: disposed(path, 2),
    "restored.png": lambda path: disposed(path, 2),
    "subtitled.mp4": subtitled,
}

if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for name, make in ALL.items():
        print(make(target / name))
