"""FastAPI that sells; also the vacancy service behind the one of ticket.py."""

import os

from contract import Available, Outcome, RequestId, Stock, Wanted
from fastapi import FastAPI, Response

app = FastAPI(openapi_url=None)
public = RequestId(app)
stock = Stock(int(os.environ["INITIAL_STOCK"]))


@app.get("/api/v1/available")
async def available(response: Response) -> Available:
    return stock.available(response)


@app.post("/api/v1/purchase")
@app.post("/api/v1/reserve")
async def purchase(wanted: Wanted) -> Outcome:
    return stock.take(wanted.qty)
