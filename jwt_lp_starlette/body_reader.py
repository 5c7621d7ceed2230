"""A request with its body, for endpoints whose bodies hold secrets."""

from __future__ import annotations

from starlette.requests import Request


class BodyReader:
    """A request and its body, which is never a local variable, so that no rendered traceback shows it."""

    def __init__(self, request: Request) -> None:
        self.request: Request = request
        self.body: bytes = b""

    async def read_body(self, max_size: int) -> None:
        """Read the body; stop as soon as it is longer than `max_size`."""
        async for chunk in self.request.stream():
            self.body += chunk
            del chunk
            if len(self.body) > max_size:
                break
