"""Answers that were recorded: of the program, and of an idle machine of the same family.

QEMU: qapi/machine.json, qapi/misc-i386.json, qapi/tpm.json, qapi/stats.json and others
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim import errors
from qemu_sim.commands.registry import command
from qemu_sim.qapi import idle

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_MICE = "query-mice"
_GENERATION = "query-vm-generation-id"
_USB = "x-query-usb"
_OF_PARTS = (
    _MICE,
    "query-pci",
    _GENERATION,
    _USB,
    "x-query-numa",
)  # what was recorded is not all, or not true of all
# Recorded with TCG, and what another accelerator has no answer to; QEMU: accel/tcg/monitor.c
_OF_TCG = {"x-query-jit": "JIT information", "x-query-opcount": "Opcode count information"}


def _program(name: str, machine: Machine) -> Any:
    return machine.profile.section(name)


def _idle(name: str, machine: Machine, _arguments: dict[str, Any]) -> Any:
    """Answer as an idle machine, which no argument changes; a profile may lack the record."""
    if name in _OF_TCG and machine.options.accelerator != "tcg":
        raise errors.QMPError(f"{_OF_TCG[name]} is only available with accel=tcg")
    family = idle.family(machine.machine_type)
    answer = machine.profile.idle_answers.get(family or "", {}).get(name)
    if answer is None:
        raise errors.QMPError(f"not simulated by qemu-sim: {name} of {machine.machine_type}")
    if "error" in answer:
        class_, text = answer["error"]
        raise getattr(errors, "QMPError" if class_ == "GenericError" else class_)(text)
    return answer["return"]


for _name in ("query-cpu-definitions", "query-target", "query-tpm-models", "query-tpm-types"):
    command(_name, recorded=True)(partial(_program, _name))
for _name in idle.IDLE_QUERIES:
    if _name not in _OF_PARTS:
        command(_name, raw=True, recorded=True)(partial(_idle, _name))


@command(_GENERATION)
def query_vm_generation_id(machine: Machine) -> dict[str, str]:
    """Return what the device of that name was given; by itself it would have a random one."""
    for device in machine.board.devices:
        if device.TYPE == "vmgenid":
            guid: str = device.properties.get("guid", "auto")
            if guid == "auto":
                raise errors.QMPError(f"not simulated by qemu-sim: {_GENERATION} with guid=auto")
            return {"guid": guid}
    found: dict[str, str] = _idle(_GENERATION, machine, {})
    return found


@command(_USB)
def x_query_usb(machine: Machine) -> dict[str, str]:
    """Return that no device is on a USB bus, or that there is none."""
    buses = [bus for bus in machine.board.buses if bus.kind == "usb-bus"]
    if any(bus.devices for bus in buses):
        raise errors.QMPError(f"not simulated by qemu-sim: {_USB} with USB devices")
    found: dict[str, str] = {"human-readable-text": ""} if buses else _idle(_USB, machine, {})
    return found


@command(_MICE)
def query_mice(machine: Machine) -> list[dict[str, Any]]:
    """Return the mouse of the board, and before it those that were plugged, newest first."""
    from qemu_sim.devices.input_device import InputDevice  # noqa: PLC0415 - few machines have one

    found: list[dict[str, Any]] = list(_idle(_MICE, machine, {}))
    index = 1 + max((mouse["index"] for mouse in found), default=-1)
    plugged = [device for device in machine.board.devices if isinstance(device, InputDevice)]
    for number, device in enumerate(plugged, index):
        if device.POINTS_AS is not None:
            mouse = {"name": device.POINTS_AS, "index": number, "current": False}
            found.insert(0, {**mouse, "absolute": device.IS_ABSOLUTE})
    return found


@command("query-machines", recorded=True)
def query_machines(machine: Machine, *, compat_props: bool = False) -> list[dict[str, Any]]:
    """Return the machine types, with what each changes in devices if that is asked for."""
    listed: list[dict[str, Any]] = machine.profile.section("query-machines")
    if compat_props:
        changed = machine.profile.compat_properties
        return [{**each, "compat-props": changed[each["name"]]} for each in listed]
    return listed


@command("query-command-line-options", recorded=True)
def query_command_line_options(
    machine: Machine, *, option: str | None = None
) -> list[dict[str, Any]]:
    """Return the parameters of one option, or of all."""
    listed: list[dict[str, Any]] = machine.profile.section("query-command-line-options")
    found = [each for each in listed if option in (None, each["option"])]
    if not found:
        raise errors.QMPError(f"invalid option name: {option}")
    return found


@command("query-stats-schemas", recorded=True)
def query_stats_schemas(machine: Machine, *, provider: str | None = None) -> list[dict[str, Any]]:
    """Return what one provider, or each, could count."""
    listed: list[dict[str, Any]] = machine.profile.section("query-stats-schemas")
    return [each for each in listed if provider in (None, each["provider"])]


@command("query-cpu-model-expansion", recorded=True)
def query_cpu_model_expansion(
    machine: Machine, *, type: str, model: dict[str, Any]
) -> dict[str, Any]:
    """Return what a CPU model consists of, for the models that were recorded."""
    name = model["name"]
    known = {each["name"] for each in machine.profile.section("query-cpu-definitions")}
    if name not in known:
        raise errors.QMPError(f"CPU model '{name}' not found")
    answer = machine.profile.cpu_expansions.get(name, {}).get(type)
    if answer is None or model.get("props"):
        changed = " with changed properties" if model.get("props") else ""
        raise errors.QMPError(
            f"The {type} expansion of CPU model '{name}'{changed} is not recorded in the profile"
        )
    found: dict[str, Any] = answer
    return found
