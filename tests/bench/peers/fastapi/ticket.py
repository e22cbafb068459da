"""FastAPI that has no stock and asks the vacancy service over HTTP, with one httpx client for the
life of the process, as its documentation advises.  It keeps twenty connections, httpx's own number:
its pool looks at each of them for each request, so more cost more."""

import os
from contextlib import asynccontextmanager

import httpx
from contract import Available, Outcome, RequestId, Wanted
from fastapi import FastAPI

LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=20)
# Without trust_env no proxy of the machine's comes in between.
vacancy = httpx.AsyncClient(base_url=os.environ["VACANCY_URL"], limits=LIMITS, trust_env=False)


@asynccontextmanager
async def lifespan(_app):
    async with vacancy:
        yield


app = FastAPI(openapi_url=None, lifespan=lifespan)
public = RequestId(app)


@app.get("/ready")
async def ready() -> Available:
    answer = await vacancy.get("/api/v1/available")
    return Available.model_validate_json(answer.content)


@app.post("/api/v1/purchase")
async def purchase(wanted: Wanted) -> Outcome:
    answer = await vacancy.post("/api/v1/reserve", json={"qty": wanted.qty})
    answer.raise_for_status()
    return Outcome.model_validate_json(answer.content)
