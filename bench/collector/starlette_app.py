"""The usual modern choice: uvicorn, Starlette, aiokafka; waits for the acknowledgement of each event."""

import datetime
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

NEEDED = ("pageUrl", "lastPageVisited", "eventType", "uiud", "sessionId", "referrer", "landingPage", "timestamp")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA"], acks="all", enable_idempotence=True, linger_ms=2
    )
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


async def post(request: Request) -> JSONResponse:
    given = await request.json()
    faults = {name: "This cannot be empty" for name in NEEDED if given.get(name) is None}
    if faults:
        return JSONResponse({"message": faults}, 400)
    at = datetime.datetime.fromtimestamp(given["timestamp"] / 1000.0, datetime.timezone.utc)
    given["timestamp"] = at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    value = json.dumps(given).encode()
    await request.app.state.producer.send_and_wait(os.environ["TOPIC"], value, key=given["uiud"].encode())
    return JSONResponse({"id": given.get("eventId")})


app = Starlette(routes=[Route("/api/webeventspub", post, methods=["POST"])], lifespan=lifespan)
