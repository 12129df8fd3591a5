"""Clients that send a body are heard out before they are refused.

A server that answers and closes while the client still sends makes the operating system throw the
answer away: the client sees a broken connection in place of "too large" or "come again later".
"""

from __future__ import annotations

import asyncio

from siamese_nima.web.safety import App, Message, Receive, Scope, Send


class Drain:
    """ASGI middleware: reads on, within limits, what the application has left of a body.

    Args:
        app: What answers.
        most_bytes: Who sends more is cut off.
        most_s: Who takes longer is cut off.
    """

    def __init__(self, app: App, *, most_bytes: int, most_s: float) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._most_s = most_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        # Who asks first gets the answer instead of a permission, and sends nothing.
        asks_first = (b"expect", b"100-continue") in scope.get("headers", ())
        if scope["type"] != "http" or asks_first:
            await self._app(scope, receive, send)
            return
        ended = False

        async def watched() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                await self._rest(watched)
            await send(message)

        await self._app(scope, watched, after_the_body)

    async def _rest(self, receive: Receive) -> None:
        size = 0
        try:
            async with asyncio.timeout(self._most_s):
                more = True
                while more and size <= self._most_bytes:
                    message = await receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            return
