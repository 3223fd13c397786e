"""The exceptions of this package.

Arguments of a wrong type raise :class:`TypeError`, wrong values :class:`ValueError`, and a lack of memory
:class:`MemoryError`. Errors that are specific to Crackle have classes of their own.
"""


class CrackleError(Exception):
    """Base of the exceptions that are specific to Crackle; never raised itself."""


class FormatError(CrackleError, ValueError):
    """A stream is damaged, truncated, foreign, or of an unknown version.

    Attributes:
        section: the name of the damaged section, or None.
        slice: the number of the damaged slice, or None.
    """

    def __init__(self, message: str, section: str | None = None, slice: int | None = None) -> None:
        super().__init__(message)
        self.section = section
        self.slice = slice

    def __reduce__(self) -> tuple[type, tuple[str, str | None, int | None]]:
        """Pickle with all attributes, for exceptions from worker processes."""
        return (type(self), (str(self), self.section, self.slice))


class MissingLabelError(CrackleError, KeyError, ValueError):
    """The volume lacks a requested label.

    It is a :class:`KeyError`, like that of a dict, and a :class:`ValueError`, which crackle-codec raises.
    """

    def __str__(self) -> str:
        """The message; a KeyError would show it in quotes."""
        return str(self.args[0]) if self.args else ""


class StoreError(CrackleError, OSError):
    """A chunk cannot be read or written: its store refused, failed, or was not reachable."""


class JournalError(CrackleError):
    """An array has an unfinished remap, or has none to finish or to undo.

    Attributes:
        chunks: the keys of objects that somebody else has written meanwhile, and that were left; or none.
    """

    def __init__(self, message: str, chunks: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.chunks = chunks

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        """Pickle with all attributes, for exceptions from worker processes."""
        return (type(self), (str(self), self.chunks))


class TakenOverError(JournalError):
    """Another process has taken over an edit, or the place that is written to; this one has stopped."""


class StaleIndexError(CrackleError):
    """A label index does not agree with its array, or an index is required and cannot be used."""


class VerificationError(CrackleError):
    """A chunk was read back, and differs from the labels that were written."""


class CrackleWarning(UserWarning):
    """A query is much slower than it could be, or an edit leaves levels of a pyramid behind."""
