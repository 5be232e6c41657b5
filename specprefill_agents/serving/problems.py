"""Problem: why a request is not answered, as its client is told. Never what was sent, never a trace."""

from __future__ import annotations

from fastapi.responses import JSONResponse


class Problem(Exception):
    """A status, a `code` that programs compare and a message for people; `retry_after_s` where trying again may help."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """The problem as an answer. What was not read of the request's body is not waited for."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413):
            headers["Connection"] = "close"
        return JSONResponse({"error": {"code": self.code, "message": self.message}}, self.status, headers)


class ClientGone(Exception):
    """Nobody waits for the answer any more."""
