"""Texts without the passwords of URLs, for messages and for what is kept in a store."""

from __future__ import annotations

import re

# Up to the last "@" before the path: a password may contain one.
_PASSWORD = re.compile(r"(?P<start>[A-Za-z][\w+.-]*://[^\s/:@]*):[^\s/]*@")


def without_password(text: str) -> str:
    """A text in which URLs show no password: ``http://user:***@host``."""
    return _PASSWORD.sub(r"\g<start>:***@", text)
