"""Who may ask, whose conversations are whose, and with which key the upstream is asked."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from specprefill_agents.errors import ConfigError
from specprefill_agents.gateway.problems import Problem
from specprefill_agents.gateway.settings import GatewaySettings

TOKEN_HEADER = "x-specprefill-token"  # noqa: S105 - the name of a header
SESSION_HEADER = "x-specprefill-session"

_LOCAL = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
_SESSION = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `tenant`, a digest of the key or token shown, `authorization` for the upstream, and the conversation's own name."""

    tenant: str
    authorization: str | None
    session: str | None


class Access:
    """The tokens and the key of a gateway, read once. Raises `ConfigError` where they are missing.

    Where the gateway holds the upstream's key, a client shows its token in place of a key, or in `x-specprefill-token`;
    where clients bring their own keys, only in the latter.
    """

    def __init__(self, settings: GatewaySettings, environment: Mapping[str, str] = os.environ) -> None:
        self._key = _key(settings.api_key_env, environment)
        self._tokens = _tokens(settings.token_file)

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who asks with these headers. Raises `Problem` for one who may not, or whose session has no possible name."""
        authorization, shown = headers.get("authorization"), headers.get(TOKEN_HEADER)
        if shown is None and self._key is not None:
            shown = (authorization or "").partition(" ")[2]
        if self._tokens:
            # Each is compared, so that the time taken tells nothing of which one comes near.
            known = [hmac.compare_digest(_digest(shown or ""), _digest(token)) for token in self._tokens]
            if not any(known):
                raise Problem(401, "the token is missing or wrong", {"www-authenticate": "Bearer"})
        elif not _LOCAL.fullmatch(headers.get("host", "")):
            # A page that a browser shows may reach this machine under a name of its own.
            raise Problem(403, "without a token, only requests to localhost are answered")
        session = headers.get(SESSION_HEADER)
        if session is not None and not _SESSION.fullmatch(session):
            raise Problem(400, f"{SESSION_HEADER} must be 1 to 200 visible ASCII characters")
        if self._key is None:
            return Caller(_digest(authorization or "")[:12], authorization, session)
        return Caller(_digest(shown or "")[:12], f"Bearer {self._key}", session)


def _digest(secret: str) -> str:
    return hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), digest_size=16, person=b"tenant").hexdigest()


def _key(variable: str | None, environment: Mapping[str, str]) -> str | None:
    if variable is None:
        return None
    key = environment.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError("api_key_env", variable, "the name of an environment variable that holds an API key")
    return key


def _tokens(path: str | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = Path(path).read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        raise ConfigError("token_file", path, f"a file of ASCII text that can be read ({type(error).__name__})") from None
    if not lines or min(map(len, lines)) < 16:
        raise ConfigError("token_file", path, "one token a line, each of at least 16 characters")
    return tuple(lines)
