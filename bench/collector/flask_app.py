"""The published API: Flask-RESTful and kafka-python. WAIT=1 makes it wait for the broker's acknowledgement."""

import datetime
import json
import os

from flask import Flask
from flask_restful import Api, Resource, reqparse
from kafka import KafkaProducer

WAIT = os.environ.get("WAIT") == "1"
EMPTY = "This cannot be empty"


def to_time(ms: float) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000.0, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


class WebEvents(Resource):
    parser = reqparse.RequestParser()
    for name in ("pageUrl", "lastPageVisited", "eventType", "uiud", "sessionId", "referrer", "landingPage"):
        parser.add_argument(name, type=str, required=True, help=EMPTY)
    parser.add_argument("timestamp", type=to_time, required=True, help="Input wasn't valid!")
    producer = KafkaProducer(
        bootstrap_servers=[os.environ["KAFKA"]],
        value_serializer=lambda value: json.dumps(value).encode("utf-8"),
        **({"acks": "all"} if WAIT else {}),
    )

    def post(self):  # type: ignore[no-untyped-def]
        given = WebEvents.parser.parse_args()
        sent = WebEvents.producer.send(os.environ["TOPIC"], value=given)
        if WAIT:
            sent.get(timeout=10)
        return {"id": given.timestamp}, 200


app = Flask(__name__)
Api(app).add_resource(WebEvents, "/api/webeventspub")
