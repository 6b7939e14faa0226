"""Decoding of videos: chosen frames, upright, in square pixels, as a browser shows their colours.

Only what the chosen frames need is decoded: each group of pictures from its key frame on.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import UserError
from . import colors
from .packets import Video, opened

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

FLAGS = "area+accurate_rnd+full_chroma_int"  # of the scaler
COMBED = 12  # frames at the beginning that are searched for combs
MOVES = 20  # grey levels between two frames, or two rows
MOVING = 0.003  # share of the pixels that have to move
COMB = 0.08  # share of the moving pixels that differ from the rows above and below
FIRST = 100  # frames among which one has to be readable
DOLBY = ("DOVI_METADATA", "DOVI_RPU_BUFFER")  # side data of frames
TICK = Fraction(1, 25)  # time base of frames in filters, which carry numbers


EYES = {1: "iw/2:ih:0:0", 2: "iw:ih/2:0:0"}  # the first of two pictures in a frame, for crop

Combs = Literal["", "all", "interlaced"]  # frames that consist of two moments


@dataclass(frozen=True)
class Look:
    """Properties of a video's first frame, which its header does not tell."""

    size: tuple[int, int]  # width and height as shown, pixels
    combs: Combs
    stereo: bool = False  # two pictures in each frame, of which the first one is used
    panorama: bool = False


def first_look(video: Video) -> Look:
    """Decode the first frame that can be decoded.

    Raises:
        UserError: no frame can be decoded, or its colours need Dolby's own decoder.
    """
    look = before = None
    found: list[bool] = []
    for number, (_, frame) in enumerate(raw_frames(video, range(min(video.count, FIRST)))):
        if look is None:
            look = _without_combs(video, frame)
        if video.interlaced or frame.interlaced_frame:
            return replace(look, combs="all" if video.interlaced else "interlaced")
        grey = frame.reformat(format="gray").to_ndarray().astype(np.int16)
        if before is not None and (combed := _combed(before, grey)) is not None:
            found.append(combed)
        before = grey
        if found[-1:] == [False] or len(found) == 3 or number == COMBED - 1:
            break
    if look is not None:
        return replace(look, combs="all" if found and all(found) else "")
    raise UserError(f"{video.path.name} has no frame that can be read.", "Export it again.")


def _without_combs(video: Video, frame: VideoFrame) -> Look:
    """The look of a first frame, without a search for combs."""
    dolby = video.dolby or any(frame.side_data.get(name) is not None for name in DOLBY)
    if dolby and frame.color_trc == colors.UNSPECIFIED:
        raise UserError(
            f"{video.path.name} is Dolby Vision without a picture for other players.",
            "Export it as HDR10, HLG or SDR.",
        )
    width, height = shown_size(video, frame)
    panorama = frame.side_data.get("SPHERICAL") is not None
    return Look((_rounded(width), _rounded(height)), "", bool(_eye(frame)), panorama)


def _combed(before: np.ndarray, frame: np.ndarray) -> bool | None:
    """True if a frame [H, W] int16 consists of two moments; None if too little moves to tell.

    Where something has moved, every other row then differs from both of its neighbours, but not
    from the row after the next; where nothing moves, rows do not.
    """
    moves = np.abs(frame - before)[2:-2] > MOVES
    if moves.mean() < MOVING:
        return None
    up, down = frame[1:-3] - frame[2:-2], frame[3:-1] - frame[2:-2]
    comb = (up * down > 0) & (np.minimum(np.abs(up), np.abs(down)) > MOVES)
    comb &= np.abs(frame[:-4] - frame[2:-2]) < MOVES
    return bool(comb[moves].mean() > COMB and comb[~moves].mean() < COMB / 10)


def decode(
    video: Video, indices: Sequence[int], longest: int, combs: Combs = ""
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames one by one: upright, square pixels, 8 bit, at most `longest` pixels long.

    Args:
        indices: increasing numbers of frames in time; those that cannot be decoded are left out.
        longest: longest side of the frames, pixels.
        combs: make whole frames of all frames, or of those that are flagged as interlaced. Their
            neighbours are decoded for it.

    Yields: numbers with [H, W, 3] uint8, or [H, W, 4] with alpha for a video that has it.

    Raises:
        UserError: the size of the frames changes.
    """
    wanted = {int(index) for index in indices}
    if not combs:
        for index, frame in raw_frames(video, sorted(wanted)):
            yield index, _converted(video, frame, longest)
        return
    around = {near for index in wanted for near in (index - 1, index, index + 1)}
    around &= set(range(video.count))
    for index, frame in _deinterlaced(video, sorted(around), combs):
        if index in wanted:
            yield index, _converted(video, frame, longest)


def small_frames(
    video: Video, indices: Sequence[int], longest: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames as small grey images [h, w] uint8, which tell them apart, quickly."""
    for index, frame in raw_frames(video, indices):
        shrink = max(1.0, max(frame.width, frame.height) / longest)
        width, height = max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink))
        grey = frame.reformat(width, height, "gray", interpolation="AREA")
        yield index, grey.to_ndarray()


def affordable(video: Video, indices: np.ndarray, frames: int) -> np.ndarray:
    """Indices [K] near those asked for, none of which costs more than `frames` decoded frames.

    They lie at most that far behind a key frame.
    """
    keys = np.sort(video.ranks[video.keys & (video.ranks >= 0)])
    if not video.stamped or not len(keys):
        return np.unique(np.minimum(indices, frames))
    before = keys[(np.searchsorted(keys, indices, side="right") - 1).clip(0)]
    return np.unique(np.minimum(indices, before + frames).clip(0))


def raw_frames(video: Video, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Decode frames as they are stored, in the order of time.

    Frames that cannot be decoded are left out, and so are those that the decoder had to guess.

    Raises:
        UserError: the size of the frames changes.
    """
    wanted = {int(index) for index in indices}
    # On several threads, what is made of damaged packets differs from time to time.
    for threads in (0, 1):
        for index, frame in _decoded(video, sorted(wanted), threads):
            if frame is None and threads == 0:
                break
            if frame is not None and index in wanted:
                wanted.discard(index)
                yield index, frame
        else:
            return


def _decoded(
    video: Video, indices: list[int], threads: int
) -> Iterator[tuple[int, VideoFrame | None]]:
    """Numbers of frames with what was decoded; None for damage. 0 threads = as many as cores."""
    import av

    size = None
    counted = 0
    with opened(video.path) as container:
        stream = container.streams[video.stream]
        context = stream.codec_context
        if video.decoder is not None:
            context = av.CodecContext.create(video.decoder, "r")
        context.thread_type, context.thread_count = "AUTO", threads
        for packet in _fed(container.demux(stream), _needed(video, indices)):
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                frames = []
                yield -1, None
            if packet is None:
                context.flush_buffers()
            for frame in frames:
                if frame.pts is None:
                    continue
                index = int(video.ranks[frame.pts]) if video.stamped else counted
                counted += 1
                if size not in (None, (frame.width, frame.height)):
                    raise _changed(video, size, frame)
                size = (frame.width, frame.height)
                yield index, None if frame.is_corrupt else frame


def _changed(video: Video, size: tuple[int, int], frame: VideoFrame) -> UserError:
    return UserError(
        f"{video.path.name} changes the size of its frames: {size[0]} x {size[1]}, "
        f"then {frame.width} x {frame.height} pixels.",
        "Cut out the part with one size, or export the clip with one frame size.",
    )


def _needed(video: Video, indices: list[int]) -> np.ndarray:
    """Packets [P] bool that have to be decoded for some frames."""
    needed = np.zeros(len(video.ranks), bool)
    if not video.stamped:
        needed[:] = True
        return needed
    packets = np.full(video.count, -1)
    shown = np.flatnonzero(video.ranks >= 0)
    packets[video.ranks[shown]] = shown
    keys = np.flatnonzero(video.keys)
    for index in indices:
        last = int(packets[index])
        # A frame that is shown before a key frame needs what precedes it in the file.
        before = keys[(keys <= last)]
        before = before[(video.ranks[before] <= index)]
        needed[(before[-1] if len(before) else 0) : last + 1] = True
    return needed


def _fed(packets: Iterator, needed: np.ndarray) -> Iterator:
    """The needed packets, numbered by their pts; None after each run of them, to drain."""
    import av

    last = int(np.flatnonzero(needed)[-1]) if needed.any() else -1
    number = -1
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OverflowError):
            break
        if packet.size == 0:
            continue
        number += 1
        if number > last:
            break
        if needed[number]:
            packet.pts = number
            yield packet
            if number == last or not needed[number + 1]:
                yield None


def _deinterlaced(
    video: Video, indices: list[int], combs: Combs
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames without combs, for which bwdif needs the frames before and after each."""
    graph = None
    for index, frame in raw_frames(video, indices):
        frame.pts, frame.time_base = index, TICK
        if graph is None:
            graph = _graph(frame, Fraction(1), [("bwdif", f"mode=send_frame:deint={combs}")])
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[tuple[int, VideoFrame]]:
    import av

    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield round(frame.pts * frame.time_base / TICK), frame


def _converted(video: Video, frame: VideoFrame, longest: int) -> np.ndarray:
    """A frame as it is shown, [H, W, 3 or 4] uint8."""
    tags = colors.Tags(frame.colorspace, frame.color_trc, frame.color_primaries)
    alpha = any(part.is_alpha for part in frame.format.components)
    turns = _eye(frame) + _turns(frame)
    width, height = shown_size(video, frame)
    shrink = max(1.0, max(width, height) / longest)
    size = f"w={_rounded(width / shrink)}:h={_rounded(height / shrink)}"
    matrix = colors.matrix(tags, _rounded(height))
    graph = _graph(
        frame,
        video.aspect,
        [
            *turns,
            ("scale", f"{size}:flags={FLAGS}:in_color_matrix={matrix}"),
            ("format", _pixel_format(tags.wide, alpha)),
        ],
    )
    graph.push(frame)
    image = graph.pull().to_ndarray()
    if not tags.wide:
        return image
    rgb = colors.to_srgb(image[..., :3], tags)
    return np.dstack([rgb, (image[..., 3] >> 8).astype(np.uint8)]) if alpha else rgb


def _pixel_format(wide: bool, alpha: bool) -> str:
    return ("gbrap16le" if alpha else "gbrp16le") if wide else ("rgba" if alpha else "rgb24")


def _graph(frame: VideoFrame, aspect: Fraction, filters: list[tuple[str, str]]) -> Graph:
    """A chain of ffmpeg's filters for frames like this one."""
    from av.filter import Graph

    graph = Graph()
    source = (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={TICK}"
        f":pixel_aspect={aspect.numerator}/{aspect.denominator}"
        f":colorspace={frame.colorspace}:range={frame.color_range}"
    )
    nodes = [graph.add("buffer", source)]
    nodes += [graph.add(name, arguments or None) for name, arguments in filters]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def shown_size(video: Video, frame: VideoFrame) -> tuple[float, float]:
    """Width and height of a frame as it is shown: upright and in square pixels."""
    width, height = float(frame.width * video.aspect), float(frame.height)
    stereo = _stereo(frame)
    width, height = width / (2 if stereo == 1 else 1), height / (2 if stereo == 2 else 1)
    if any(name == "transpose" for name, _ in _turns(frame)):
        return height / float(video.aspect), width / float(video.aspect)
    return width, height


def _stereo(frame: VideoFrame) -> int:
    """ffmpeg's number of how two pictures share a frame, if it is one of EYES; 0 otherwise."""
    data = frame.side_data.get("STEREO3D")
    kind = 0 if data is None else struct.unpack("<i", bytes(data)[:4])[0]
    return kind if kind in EYES else 0


def _eye(frame: VideoFrame) -> list[tuple[str, str]]:
    """The filter that takes the first of two pictures."""
    stereo = _stereo(frame)
    return [("crop", EYES[stereo])] if stereo else []


def _rounded(pixels: float) -> int:
    return max(1, int(pixels + 0.5))


def _turns(frame: VideoFrame) -> list[tuple[str, str]]:
    """Filters that turn a frame upright by its display matrix, as ffmpeg's program does."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return []
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(data))
    angle = round(math.degrees(math.atan2(b, a))) % 360
    if abs(angle - 90) <= 1:
        return [("transpose", "cclock_flip" if c > 0 else "clock")]
    if abs(angle - 270) <= 1:
        return [("transpose", "clock_flip" if c < 0 else "cclock")]
    if abs(angle - 180) <= 1:
        return [("hflip", "")] * (a < 0) + [("vflip", "")] * (d < 0)
    return [("vflip", "")] * (d < 0 and angle in (0, 1, 359))
