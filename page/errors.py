"""Errors as the page and its API report them: one sentence and a hint."""

from __future__ import annotations

import logging
import uuid

from ds4d.errors import UserError, is_full_disk, of_the_machine

log = logging.getLogger("ds4d.page")


def explain(error: Exception) -> UserError:
    """The error as a UserError.

    An unexpected exception is logged with a reference number; its own text stays in the log.
    """
    if isinstance(error, UserError):
        return error
    reference = uuid.uuid4().hex[:8]
    log.error("error, reference %s", reference, exc_info=error)
    if is_full_disk(error):
        return UserError("The disk of this machine is full.", "Please try again later.")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return of_the_machine(error)
    return UserError(
        f"Something went wrong on our side (reference {reference}).",
        "Finished stages are kept. Another clip may work.",
    )
