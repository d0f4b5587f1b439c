"""The AsyncAPI description of the topics: schemas/mqtt.asyncapi.json.

`python -m qemu_sim.mqtt.asyncapi` prints it. Spec: AsyncAPI 3.0.0.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from qemu_sim.mqtt.messages import EventMessage, StatusMessage

_PARAMETERS = {
    "prefix": {"description": "the path of the URL in -sim mqtt=", "default": "qemu-sim"},
    "name": {"description": "the machine's -name, percent-encoded", "default": "unnamed"},
}
_EVENT = {"event": {"description": "the QMP event's name, such as STOP"}}


def document() -> dict[str, Any]:
    """Return the whole description."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "qemu-sim on MQTT",
            "version": "1.0.0",
            "description": "QMP events and the status of each machine started with -sim mqtt=URL.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "status": _channel("{prefix}/{name}/status", "status", _PARAMETERS),
            "event": _channel("{prefix}/{name}/event/{event}", "event", _PARAMETERS | _EVENT),
        },
        "operations": {
            "publishStatus": _operation("status", "On each change; the last will.", retain=True),
            "publishEvent": _operation("event", "Each event, at least once.", retain=False),
        },
        "components": {
            "messages": {
                "status": {"payload": {"$ref": "#/components/schemas/StatusMessage"}},
                "event": {"payload": {"$ref": "#/components/schemas/EventMessage"}},
            },
            "schemas": {
                model.__name__: model.model_json_schema(mode="serialization")
                for model in (StatusMessage, EventMessage)
            },
        },
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(document(), indent=2) + "\n"


def _channel(address: str, message: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "parameters": parameters,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(channel: str, summary: str, *, retain: bool) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
    }


if __name__ == "__main__":
    sys.stdout.write(text())
