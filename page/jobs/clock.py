"""The page's time, which no jump of the machine's clock moves.

After a jump of a day, every run would be ended as abandoned, and those that are done deleted.
"""

from __future__ import annotations

import time

_BEGAN = time.time() - time.monotonic()


def now() -> float:
    """Seconds since the epoch, by the machine's clock as it was when this process began."""
    return _BEGAN + time.monotonic()
