"""Captions over the picture: rows of letters that are much lighter than what is around them."""

from __future__ import annotations

import cv2
import numpy as np

LONGEST = 640  # pixels; of the frames in which letters are looked for
BRIGHT, DARK = 200, 90  # grey levels of letters, and of their outline, shadow or box
STROKE = 9  # pixels; letters consist of lines that are thinner
HEIGHTS = (0.015, 0.09)  # of a letter, share of the frame's height
ALIKE = 0.35  # mean difference of the heights of a row's letters from their median, of that
LETTERS = 7  # of a row, at least
CENTRED = 0.08  # share of the frame's width that a row's middle may lie off the frame's
GAP = 1.2  # between letters of a row, in heights of a letter
OFTEN = 2  # frames with a row, at least


def overlaid(frames: np.ndarray) -> bool:
    """True if some of the frames [T, H, W, 3] uint8 have a row of letters over the picture.

    Captions are centred, and have light letters with a dark outline, shadow or box.
    """
    return sum(_has_row(frame) for frame in frames) >= min(OFTEN, len(frames))


def _has_row(frame: np.ndarray) -> bool:
    scale = min(1.0, LONGEST / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    letters = _letters(small)
    rows: list[list[np.ndarray]] = []
    for letter in sorted(letters, key=lambda box: box[0]):
        near = [row for row in rows if _continues(row[-1], letter)]
        if near:
            near[0].append(letter)
        else:
            rows.append([letter])
    return any(_is_caption(np.array(row), size[0]) for row in rows)


def _letters(frame: np.ndarray) -> list[np.ndarray]:
    """Boxes (left, top, width, height) of light shapes of thin lines with dark around them."""
    height = frame.shape[0]
    light = frame.max(axis=2)
    kernel = np.ones((STROKE, STROKE), np.uint8)
    thin = cv2.morphologyEx(light, cv2.MORPH_TOPHAT, kernel) > BRIGHT - DARK
    edged = cv2.erode(frame.max(axis=2), np.ones((5, 5), np.uint8)) < DARK
    mask = (thin & edged & (light > BRIGHT)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = stats[1:, :4]
    low, high = HEIGHTS[0] * height, HEIGHTS[1] * height
    return [box for box in boxes if low <= box[3] <= high and box[2] <= 1.6 * box[3] and box[3] > 4]


def _continues(last: np.ndarray, letter: np.ndarray) -> bool:
    """True if a letter stands to the right of another, in one line."""
    tall = max(last[3], letter[3])
    gap = letter[0] - (last[0] + last[2])
    foot = abs((last[1] + last[3]) - (letter[1] + letter[3]))
    return -0.2 * tall <= gap <= GAP * tall and foot <= 0.35 * tall


def _is_caption(row: np.ndarray, width: int) -> bool:
    if len(row) < LETTERS:
        return False
    typical = np.median(row[:, 3])
    alike = np.abs(row[:, 3] - typical).mean() <= ALIKE * typical
    middle = (row[0, 0] + row[-1, 0] + row[-1, 2]) / 2
    return bool(alike and abs(middle - width / 2) <= CENTRED * width)
