"""FastAPI that sells; also the vacancy service behind the one of ticket.py."""

import os

from contract import Available, Outcome, Stock, Wanted
from fastapi import FastAPI

app = FastAPI(openapi_url=None)
stock = Stock(int(os.environ["INITIAL_STOCK"]))


@app.get("/api/v1/available")
async def available() -> Available:
    return Available(qty=stock.left)


@app.post("/api/v1/purchase")
@app.post("/api/v1/reserve")
async def purchase(wanted: Wanted) -> Outcome:
    return stock.take(wanted.qty)
