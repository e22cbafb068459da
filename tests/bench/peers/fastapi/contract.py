"""What both FastAPI peers take and give.  Models as return types are what FastAPI's documentation
names as the fastest way to an answer."""

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
    only numbered, not kept.  Both are in its favour."""

    def __init__(self, tickets):
        self.left = tickets

    def take(self, qty):
        if self.left < qty:
            return Outcome(success=False, remaining=self.left, message="Insufficient inventory")
        self.left -= qty
        return Outcome(
            success=True,
            remaining=self.left,
            message="Purchase successful!",
            order_id=f"00000000-0000-8000-8000-{self.left:012x}",
        )
