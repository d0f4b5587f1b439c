"""HMP commands that migrate.

QEMU: migration/migration-hmp-cmds.c, migration/dirtyrate.c
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from qemu_sim.commands.hmp.table import Session, forward, hmp
from qemu_sim.errors import QMPError
from qemu_sim.migration import address as addresses
from qemu_sim.qapi.opts import parse_bool, parse_number
from qemu_sim.qapi.sizes import parse_size

# HMP name, QMP name, for those whose arguments have the same names in both.
_SAME_ARGUMENTS = {
    "migrate_cancel": "migrate_cancel",
    "migrate_continue": "migrate-continue",
    "migrate_pause": "migrate-pause",
    "migrate_recover": "migrate-recover",
    "migrate_start_postcopy": "migrate-start-postcopy",
    "x_colo_lost_heartbeat": "x-colo-lost-heartbeat",
}
_IN_MIB = ("max-bandwidth", "avail-switchover-bandwidth")
_ONLY_QMP = "block-bitmap-mapping"
_SHELL_WORDS = "cpr-exec-command"
_INT64 = 1 << 63
_ADDRESS_FIRST_SINCE = (8, 2, 0)

for _name, _command in _SAME_ARGUMENTS.items():
    forward(_name, _command)


@hmp("migrate")
async def migrate(session: Session, uri: str, *, detach: bool = False, **flags: bool) -> str:
    """Migrate, always in the background: a person may type on."""
    await session.execute("migrate", uri=uri, **flags)
    if detach:
        return ""
    return "terminal does not allow synchronous migration, continuing detached\n"


@hmp("migrate_incoming")
async def migrate_incoming(session: Session, uri: str) -> str:
    """Wait for a source; since 8.2 a bad address is told before all else."""
    version = session.machine.profile.version
    if version >= _ADDRESS_FIRST_SINCE:
        addresses.parse(uri, None, version)
    await session.execute("migrate-incoming", uri=uri)
    return ""


@hmp("migrate_set_capability")
async def migrate_set_capability(session: Session, capability: str, state: bool) -> str:
    """Switch one capability."""
    setting = {"capability": capability, "state": state}
    known = [each["capability"] for each in session.machine.capabilities.query()]
    if capability not in known:
        raise QMPError(f"invalid parameter value: {capability}")
    await session.execute("migrate-set-capabilities", capabilities=[setting])
    return ""


@hmp("migrate_set_parameter")
async def migrate_set_parameter(session: Session, parameter: str, value: str) -> str:
    """Set one parameter to what a text means for its type."""
    schema = session.machine.schema
    entity = schema.by_name[schema.by_name["migrate-set-parameters"]["arg-type"]]
    kinds = {member["name"]: member["type"] for member in entity["members"]}
    if parameter not in kinds:
        raise QMPError(f"invalid parameter value: {parameter}")
    widths = schema.facts.get("integers", {}).get(entity["name"], {})
    kind = widths.get(parameter, "size") if kinds[parameter] == "int" else kinds[parameter]
    given = {parameter: _value(parameter, kind, value)}
    checked = schema.check_arguments("migrate-set-parameters", given)
    await session.execute("migrate-set-parameters", **checked)
    return ""


def _value(parameter: str, kind: str, text: str) -> Any:
    """Return what `text` means; one of an enum is checked with the rest."""
    if parameter == _ONLY_QMP:
        raise QMPError(f"The {parameter} parameter can only be set through QMP")
    if parameter == _SHELL_WORDS:
        return _split(text)
    if parameter in _IN_MIB:
        return _bandwidth(text)
    if kind == "bool":
        return parse_bool(parameter, text)
    if kind in ("size", "uint64"):
        return parse_size(parameter, text)
    return _number(parameter, text) if kind.startswith("uint") else text


def _number(parameter: str, text: str) -> int:
    try:
        return parse_number(parameter, text)
    except QMPError:
        raise QMPError(f"Parameter '{parameter}' expects uint64") from None


def _bandwidth(text: str) -> int:
    """Read a size in MiB, or with a unit."""
    try:
        size = parse_size("", f"{text}M" if re.search(r"[\d.]$", text) else text)
    except QMPError:
        size = _INT64
    if size >= _INT64:
        raise QMPError(f"Invalid size {text}")
    return size


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise QMPError(str(error)) from None


@hmp("calc_dirty_rate")
async def calc_dirty_rate(
    session: Session,
    second: int,
    *,
    dirty_ring: bool = False,
    dirty_bitmap: bool = False,
    **more: int,
) -> str:
    """Measure how fast the guest dirties its RAM."""
    if not second:
        return "Incorrect period length specified!\n"
    if dirty_ring and dirty_bitmap:
        return "Either dirty ring or dirty bitmap can be specified!\n"
    mode = "dirty-ring" if dirty_ring else "dirty-bitmap" if dirty_bitmap else "page-sampling"
    pages = {"sample_pages": more["sample_pages_per_GB"]} if more else {}
    await session.execute("calc-dirty-rate", calc_time=second, mode=mode, **pages)
    return (
        f"Starting dirty rate measurement with period {second} seconds\n"
        "[Please use 'info dirty_rate' to check results]\n"
    )
