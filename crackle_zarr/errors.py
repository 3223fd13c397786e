"""The exceptions of this package.

Arguments of a wrong type raise :class:`TypeError`, wrong values :class:`ValueError`, a lack
of memory :class:`MemoryError`: only what is particular to Crackle has a class of its own.
"""


class CrackleError(Exception):
    """Base of the exceptions that are particular to Crackle; never raised itself."""


class FormatError(CrackleError, ValueError):
    """A stream is damaged, truncated, foreign, or of an unknown version.

    Attributes:
        section: the name of the section in which the fault lies, or None.
        slice: the number of the slice in which the fault lies, or None.
    """

    def __init__(self, message: str, section: str | None = None, slice: int | None = None) -> None:
        super().__init__(message)
        self.section = section
        self.slice = slice

    def __reduce__(self) -> tuple[type, tuple[str, str | None, int | None]]:
        """Pickle with all attributes: worker processes send their exceptions home."""
        return (type(self), (str(self), self.section, self.slice))


class MissingLabelError(CrackleError, KeyError, ValueError):
    """A label that was asked for is not in the volume.

    It is a :class:`KeyError`, as of a dict that lacks a key, and the :class:`ValueError` that crackle-codec
    raises.
    """

    def __str__(self) -> str:
        """The message; a KeyError would show it in quotes."""
        return str(self.args[0]) if self.args else ""


class StoreError(CrackleError, OSError):
    """A chunk cannot be read or written: its store refused, failed, or could not be reached."""


class JournalError(CrackleError):
    """An array has an unfinished remap, or has none where one was to be finished."""


class VerificationError(CrackleError):
    """What was read back is not what was written."""


class CrackleWarning(UserWarning):
    """A question that costs much more than it has to."""
