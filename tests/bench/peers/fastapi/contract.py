"""What both FastAPI peers take and give.  Models as return types are what FastAPI's documentation
names as the fastest way to an answer."""

from uuid import uuid4

from fastapi import Response
from pydantic import BaseModel, Field


class Wanted(BaseModel):
    qty: int = Field(ge=1, le=2**31 - 1)


class Outcome(BaseModel):
    success: bool
    remaining: int
    message: str
    order_id: str | None = None


class Available(BaseModel):
    qty: int


class Stock:
    """In the memory of the one process, whose event loop lets nothing come in between; an order is
    only given its id, not kept.  Both are in its favour."""

    def __init__(self, tickets):
        self.capacity = self.left = tickets
        self.instance = uuid4().hex[:16]

    def take(self, qty):
        if self.left < qty:
            return Outcome(success=False, remaining=self.left, message="Insufficient inventory")
        self.left -= qty
        return Outcome(
            success=True,
            remaining=self.left,
            message="Purchase successful!",
            order_id=str(uuid4()),
        )

    def available(self, response: Response):
        response.headers["Cache-Control"] = "public, max-age=1"
        response.headers["ETag"] = f'"{self.instance}-{self.capacity - self.left + 1}"'
        return Available(qty=self.left)


class RequestId:
    """Gives each answer an id that cannot be guessed.  Pure ASGI, as Starlette's documentation
    advises where a middleware is to cost little."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_id(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", uuid4().hex.encode()))
            await send(message)

        await self.app(scope, receive, send_with_id)
