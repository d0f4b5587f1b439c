"""What qmp-cmd-test does: every query of the schema, and how object-add fails.

QEMU: tests/qtest/qmp-cmd-test.c
"""

import pytest

# Neither has the test program an opinion on these.
IGNORED = {
    *("add-fd", "query-cpu-definitions", "query-gic-capabilities", "query-pci", "x-query-virtio"),
    *("query-sev", "query-sev-capabilities", "query-sev-launch-measure", "query-sgx"),
    *("query-sev-attestation-report", "query-sgx-capabilities", "query-vcpu-dirty-limit"),
    "query-s390x-cpu-polarization",
}
FAILS = {
    "query-balloon": "DeviceNotActive",
    **dict.fromkeys(
        (
            *(
                "query-acpi-ospm-status",
                "query-hotpluggable-cpus",
                "query-hv-balloon-status-report",
            ),
            *("query-vm-generation-id", "x-query-usb", "x-query-jit", "xen-event-list"),
            *("query-firmware-log",),
        ),
        "GenericError",
    ),
}
SCHEMA_MEMBERS = {
    *("name", "meta-type", "features", "json-type", "members", "values", "element-type", "tag"),
    *("variants", "arg-type", "ret-type", "allow-oob"),
}
AT_LEAST = 60  # queries; fewer means that the schema has lost some


def is_query(entity, by_name):
    """Whether a command takes nothing it must have, and returns something."""
    if entity["meta-type"] != "command" or entity["name"] in IGNORED:
        return False
    required = [each for each in by_name[entity["arg-type"]]["members"] if "default" not in each]
    returned = by_name[entity["ret-type"]]
    return not required and not (returned["meta-type"] == "object" and not returned["members"])


@pytest.fixture
def emulator(start):
    return start("-nodefaults -machine none").negotiate()


def test_every_query_answers(emulator):
    """The program starts a process for each; one that stays idle shows the same."""
    schema = emulator.execute("query-qmp-schema")["return"]
    assert all(set(entity) <= SCHEMA_MEMBERS for entity in schema)
    by_name = {entity["name"]: entity for entity in schema}
    queries = [entity["name"] for entity in schema if is_query(entity, by_name)]
    assert len(queries) >= AT_LEAST
    answers = {name: emulator.execute(name) for name in queries}
    failed = {
        name: answer.get("error")
        for name, answer in answers.items()
        if (answer["error"]["class"] if "error" in answer else None) != FAILS.get(name)
    }
    assert failed == {}


def test_object_add_failure_modes(emulator):
    def add(**arguments):
        return emulator.execute("object-add", **arguments)

    def fails(answer):
        return answer["error"]["class"] == "GenericError"

    ram = {"qom_type": "memory-backend-ram", "id": "ram1"}
    assert fails(add(id="ram1"))
    assert fails(add(**ram))
    assert "return" in add(**ram, size=1048576)
    assert fails(add(**ram, size=1048576))
    assert "return" in emulator.execute("object-del", id="ram1")
    assert fails(add(**ram, size="1048576"))
    assert fails(add(qom_type="memory-backend-ram", size=1048576))
    assert fails(add(**ram, size=1048576, nonexistent=4))
    assert fails(emulator.execute("object-del", id="ram1"))
    assert "return" in add(**ram, size=1048576)
    assert "return" in emulator.execute("object-del", id="ram1")
    assert fails(emulator.execute("object-del", id="ram1"))
