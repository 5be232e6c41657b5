"""What a gateway answers itself when something is wrong: a JSON error in the form in which OpenAI's clients expect it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse

_NONE: Mapping[str, str] = {}


class Problem(Exception):
    """A request that is not answered by the upstream: `status`, and a text that quotes nothing of the request."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] = _NONE) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers)

    def response(self) -> JSONResponse:
        """The problem as an answer."""
        kind = "invalid_request_error" if self.status < 500 else "upstream_error" if self.status in (502, 504) else "gateway_error"
        error = {"message": f"specprefill gateway: {self}", "type": kind, "param": None, "code": None}
        return JSONResponse({"error": error}, self.status, self.headers)
