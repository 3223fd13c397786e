"""Texts without the secrets of URLs, for messages and for what is kept in a store."""

from __future__ import annotations

import re

# Up to the last "@" before the path: a password may contain one.
_PASSWORD = re.compile(r"(?P<start>[A-Za-z][\w+.-]*://[^\s/:@]*):[^\s/]*@")
# The parameters of a query that give access, of signed URLs of S3, Google and Azure, and of tokens.
_SECRET = re.compile(
    r"(?P<start>[?&](?:[\w.%-]*(?:signature|credential|security-token|token|secret|password|passwd|api-?key|"
    r"access-?key(?:id)?)|sig|key|auth)=)[^\s&#'\"<>\]})]+",
    re.IGNORECASE,
)


def without_password(text: str) -> str:
    """A text in which URLs show no password, ``http://user:***@host``, and no signature, ``?sig=***``."""
    return _SECRET.sub(r"\g<start>***", _PASSWORD.sub(r"\g<start>:***@", text))
