"""What QOM calls the types of properties, and the built-in QAPI type that each is checked as.

QEMU: qom/object.c (object_property_add_*), hw/core/qdev-properties.c
"""

from __future__ import annotations

NUMBERS = {
    "bool": "bool",
    "int": "int64",
    "int32": "int32_t",
    "int64": "int64",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64",
    "size": "size",
}
