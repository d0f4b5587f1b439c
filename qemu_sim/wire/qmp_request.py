"""A request's envelope: what may stand beside `execute`, and who complains first.

QEMU: qapi/qmp-dispatch.c (qmp_dispatch_check_obj), monitor/qmp-cmds-control.c

Members are examined in QEMU's order, which decides which of several bad ones an error
names. `id` is echoed with every answer, errors of the envelope included.
"""

from typing import Any, NamedTuple

from qemu_sim.errors import QMPError
from qemu_sim.key_order import in_key_order
from qemu_sim.wire.json_error import JsonError

CAPABILITIES = ("oob",)
_PLAIN = frozenset(("execute", "arguments", "id"))


class Execute(NamedTuple):
    """A command to run; `echo` is what the answer repeats: `{"id": …}` or nothing."""

    name: str
    arguments: dict[str, Any]
    oob: bool
    echo: dict[str, Any]


class Refused(NamedTuple):
    """A request that is answered with `error` without being run."""

    error: QMPError
    echo: dict[str, Any]


def jumps_the_queue(item: Any) -> bool:
    """Whether `item` looks like a command to be run out of band."""
    return isinstance(item, dict) and "exec-oob" in item and "execute" not in item


def describe(item: Any) -> Any:
    """Return a parsed value as it is, a syntax error as an object that says so."""
    return {"syntax-error": item.text} if isinstance(item, JsonError) else item


def read_request(item: Any, *, oob_enabled: bool) -> Execute | Refused:
    """Judge a parsed value, or the syntax error in its place."""
    if isinstance(item, JsonError):
        return Refused(QMPError(item.text), {})
    if not isinstance(item, dict):
        return Refused(QMPError("QMP input must be a JSON object"), {})
    echo = {"id": item["id"]} if "id" in item else {}
    complaint = None if _is_plain(item) else _complaint(item, oob_enabled)
    if complaint:
        return Refused(QMPError(complaint), echo)
    oob = "exec-oob" in item
    name = item["exec-oob" if oob else "execute"]
    return Execute(name, item.get("arguments", {}), oob, echo)


def read_capabilities(arguments: dict[str, Any]) -> list[str] | QMPError:
    """Return the capabilities that `qmp_capabilities` enables, or what is wrong with it."""
    enable = arguments.get("enable", [])
    if not isinstance(enable, list):
        return QMPError("Invalid parameter type for 'enable', expected: array")
    for index, name in enumerate(enable):
        if not isinstance(name, str):
            return QMPError(f"Invalid parameter type for 'enable[{index}]', expected: string")
        if name not in CAPABILITIES:
            # QEMU has no name for a list's element and prints a null pointer.
            return QMPError(f"Parameter 'null' does not accept value '{name}'")
    for name in in_key_order(arguments):
        if name != "enable":
            return QMPError(f"Parameter '{name}' is unexpected")
    return enable


def _is_plain(request: dict[str, Any]) -> bool:
    """Whether nothing can be wrong, which nearly all requests show at a glance."""
    return (
        request.keys() <= _PLAIN
        and type(request.get("execute")) is str
        and type(request.get("arguments", request)) is dict
    )


def _complaint(request: dict[str, Any], oob_enabled: bool) -> str | None:
    verb = None
    for name in in_key_order(request):
        value = request[name]
        if name == "execute" or (name == "exec-oob" and oob_enabled):
            if not isinstance(value, str):
                return f"QMP input member '{name}' must be a string"
            if verb:
                return f"QMP input member '{name}' clashes with '{verb}'"
            verb = name
        elif name == "arguments":
            if not isinstance(value, dict):
                return "QMP input member 'arguments' must be an object"
        elif name != "id":
            return f"QMP input member '{name}' is unexpected"
    return None if verb else "QMP input lacks member 'execute'"
