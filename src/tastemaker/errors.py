"""Errors a user can act on. Each message says what is wrong, where, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager


class TastemakerError(Exception):
    """Base of errors meant for a user; the command line prints one line and exits with `exit_code`."""

    exit_code = 2


class InputError(TastemakerError):
    """The user's data or arguments cannot be used; the message names file, row, column and remedy."""


class SparseDataError(InputError):
    """There is too little to learn from: no model can be trained, and simpler ways of recommending serve."""


class ArtifactError(TastemakerError):
    """A stored file is missing, damaged, locked, or was built from other inputs than the ones at hand."""


class BusyError(ArtifactError):
    """Another process holds what is needed; nothing was changed, and a later try may find it free."""


class FullError(ArtifactError):
    """The disk is full; nothing was changed."""


class ModelError(TastemakerError):
    """A language model cannot be loaded, extended, trained or decoded as asked."""


def many(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun, as "1 row" and "2,000 rows"; plural: its plural, unless that is an s more."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


@contextmanager
def in_file(path: object) -> Iterator[None]:
    """Put the file's name before whatever is wrong with what it holds."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
