"""The published description is that of the code."""

from __future__ import annotations

import json
import os

from qemu_sim.mqtt import asyncapi
from qemu_sim.mqtt.messages import EventMessage, StatusMessage, Topics

_SCHEMAS = os.path.join(os.path.dirname(asyncapi.__file__), os.pardir, "schemas")


def test_the_file_is_up_to_date():
    with open(os.path.join(_SCHEMAS, "mqtt.asyncapi.json")) as file:
        assert file.read() == asyncapi.text(), (
            "python -m qemu_sim.mqtt.asyncapi > schemas/mqtt.asyncapi.json"
        )


def test_references_lead_somewhere():
    document = asyncapi.document()

    def follow(node):
        if isinstance(node, dict):
            if "$ref" in node:
                found = document
                for name in node["$ref"].removeprefix("#/").split("/"):
                    found = found[name]
            for value in node.values():
                follow(value)

    follow(document)
    assert json.loads(asyncapi.text()) == document


def test_payloads_have_the_described_members():
    schemas = asyncapi.document()["components"]["schemas"]
    event = EventMessage(instance="a", sequence=1, dropped=0, event={"event": "STOP"})
    status = StatusMessage(instance="a", status="online", run_state="paused", pid=1)
    assert set(json.loads(event.to_json())) == set(schemas["EventMessage"]["properties"])
    assert set(json.loads(status.to_json())) == set(schemas["StatusMessage"]["properties"])


def test_names_cannot_change_the_meaning_of_a_topic():
    assert Topics("p", "a/b+c#d e").status == "p/a%2Fb%2Bc%23d e/status"
    assert Topics("p", None).event("STOP") == "p/unnamed/event/STOP"
