"""Credentials, taken out of what is told: messages of other tools name addresses with the passwords that are in them.

Everything that is told or kept of an error passes through here: ``HarnessError`` does it for itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
#: Shorter values are no secrets, and stand in too many words.
SHORTEST = 6

_NAMES = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIAL", re.I)  # of variables that hold a secret
_ADDRESS = re.compile(
    r"(?<=://)[^\s/?#'\"<>@]*(?:@[^\s/?#'\"<>@]*)*@"
)  # user and password of a URL (RFC 3986, section 3.2.1)
_HEADER = re.compile(r"(?<=\bBearer )\S+|(?<=\bBasic )[\w+/=-]{6,}", re.I)
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")


def without_secrets(text: str) -> str:
    """``text`` without passwords in addresses, tokens, and values of environment variables that hold a secret."""
    for secret in sorted(set(_in_environment()), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in ((_ADDRESS, f"{HIDDEN}@"), (_HEADER, HIDDEN), (_TOKEN, HIDDEN)):
        text = pattern.sub(instead, text)
    return text


def _in_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        found = [value.strip()] if _NAMES.search(name) else []
        if "://" in value:
            found += [part for address in value.split() for part in _user_part(address)]
        for secret in found:
            yield from (form for form in (secret, unquote(secret)) if len(form) >= SHORTEST)


def _user_part(address: str) -> tuple[str, ...]:
    """The password of an address; where it has none its user, who may be a token."""
    try:
        user, separator, password = urlsplit(address).netloc.rpartition("@")[0].partition(":")
    except ValueError:  # no address
        return ()
    return (password,) if separator else (user,)
