"""The file of rules that blkdebug reads: sections of `key = "value"` lines.

QEMU: util/qemu-config.c (qemu_config_foreach), block/blkdebug.c (add_rule)
"""

from __future__ import annotations

import re

from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import Group, Pair, as_text, parse_bool, parse_number

_GROUPS = {
    "inject-error": Group(
        "inject-error",
        kinds={
            "event": as_text,
            "state": parse_number,
            "iotype": as_text,
            "errno": parse_number,
            "sector": parse_number,
            "once": parse_bool,
            "immediately": parse_bool,
        },
    ),
    "set-state": Group(
        "set-state", kinds={"event": as_text, "state": parse_number, "new_state": parse_number}
    ),
}
# Each BlkdebugEvent of qapi/block-core.json.
_EVENT_NAMES = """
    l1_update l1_grow_alloc_table l1_grow_write_table l1_grow_activate_table
    l1_shrink_write_table l1_shrink_free_l2_clusters l2_load l2_update l2_update_compressed
    l2_alloc_cow_read l2_alloc_write read_aio read_backing_aio read_compressed write_aio
    write_compressed vmstate_load vmstate_save cow_read cow_write cor_write reftable_load
    reftable_grow reftable_update refblock_load refblock_update refblock_update_part
    refblock_alloc refblock_alloc_hookup refblock_alloc_write refblock_alloc_write_blocks
    refblock_alloc_write_table refblock_alloc_switch_table cluster_alloc cluster_alloc_bytes
    cluster_alloc_space cluster_free flush_to_os flush_to_disk pwritev pwritev_zero pwritev_done
    pwritev_rmw_head pwritev_rmw_after_head pwritev_rmw_tail pwritev_rmw_after_tail
    empty_image_prepare none
"""
_EVENTS = frozenset(_EVENT_NAMES.split())
_SECTION = re.compile(r'\[(?:([^\s"]{1,63})\s+"[^"]{1,63}"\]?|([^\]]{1,63}))')
# A line with anything else behind its first word sets that key to nothing.
_LINE = re.compile(r'\s*(\S{1,63})(?:\s*=\s*"([^"]{1,1023}))?')


def check_rules(text: str) -> None:
    """Raise QMPError in QEMU's words unless `text` is a file of rules."""
    rules: list[dict[str, str]] = []
    group: Group | None = None
    for line in text.splitlines(keepends=True):
        if not line.strip() or line.startswith("#"):
            continue
        opened = _SECTION.match(line)
        if opened:
            group = _group(opened[1] or opened[2])
            rules.append({})
            continue
        if group is None:
            raise QMPError("no group defined")
        found = _LINE.match(line)
        assert found is not None  # the line is not blank
        group.typed([Pair(found[1], found[2] or "")])
        rules[-1][found[1]] = found[2] or ""
    for rule in rules:
        _check_event(rule)


def _group(name: str) -> Group:
    if name not in _GROUPS:
        raise QMPError(f"There is no option group '{name}'")
    return _GROUPS[name]


def _check_event(rule: dict[str, str]) -> None:
    if "event" not in rule:
        raise QMPError("Missing event name for rule")
    if rule["event"] not in _EVENTS:
        raise QMPError(f"invalid parameter value: {rule['event']}")
