"""User-creatable objects that hold little: what they accept, and QEMU's words for the rest."""

import os

import pytest

from qemu_sim.backends.can_bus import CanBus
from qemu_sim.backends.cryptodev_backend import CryptodevBackend
from qemu_sim.backends.cryptodev_backend_builtin import CryptodevBackendBuiltin
from qemu_sim.backends.main_loop import MainLoop
from qemu_sim.backends.object import Place
from qemu_sim.backends.thread_context import ThreadContext
from qemu_sim.backends.tls_creds_psk import TlsCredsPsk
from qemu_sim.backends.tls_creds_x509 import TlsCredsX509
from qemu_sim.errors import QMPError
from qemu_sim.testing import client

NEW, OLD = Place(), Place(version=(7, 2, 22))


def test_a_thread_runs_where_it_is_told():
    made = ThreadContext("t", {"cpu-affinity": [0]})
    try:
        assert os.sched_getaffinity(made.options["thread-id"]) == {0}
        assert made.options["cpu-affinity"] == [0]
    finally:
        made.close()


def test_a_thread_runs_on_a_nodes_cpus():
    made = ThreadContext("t", {"node-affinity": [0]})
    try:
        assert 0 in made.options["cpu-affinity"]
        assert "node-affinity" not in made.options
    finally:
        made.close()


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (ThreadContext, {"cpu-affinity": []}, "CPU list is empty"),
        (ThreadContext, {"node-affinity": []}, "Node list is empty"),
        (ThreadContext, {"cpu-affinity": [99999]}, "Parameter 'null' expects uint16_t"),
        (ThreadContext, {"node-affinity": [999]}, "The nodes select no CPUs"),
        (
            ThreadContext,
            {"cpu-affinity": [0], "node-affinity": [0]},
            "Mixing CPU and node affinity not supported",
        ),
        (
            ThreadContext,
            {"cpu-affinity": [60000]},
            "Setting CPU affinity failed: Invalid argument",
        ),
        (
            MainLoop,
            {"thread-pool-min": 5, "thread-pool-max": 2},
            "bad thread-pool-min/thread-pool-max values",
        ),
        (
            CryptodevBackend,
            {"queues": 0},
            "Property 'cryptodev-backend.queues' doesn't take value '0'",
        ),
        (
            CryptodevBackendBuiltin,
            {"queues": 2},
            "Only support one queue in cryptdov-builtin backend",
        ),
        (TlsCredsX509, {}, "Missing 'dir' property value"),
        (
            TlsCredsX509,
            {"dir": "/nope"},
            "Unable to access credentials /nope/ca-cert.pem: No such file or directory",
        ),
        (
            TlsCredsPsk,
            {"dir": "/nope"},
            "Unable to access credentials /nope/keys.psk: No such file or directory",
        ),
    ],
)
def test_what_is_refused(kind, options, text):
    with pytest.raises(QMPError) as error:
        kind("o", options, NEW)
    assert str(error.value) == text


def test_there_is_one_main_loop():
    with pytest.raises(QMPError, match="only one main-loop instance allowed"):
        MainLoop("b", {}, Place({"a": MainLoop("a", {})}))


def test_certificates_are_not_read(tmp_path):
    (tmp_path / "ca-cert.pem").write_text("")
    with pytest.raises(QMPError, match="'tls-creds-x509' is not simulated by qemu-sim"):
        TlsCredsX509("t", {"dir": str(tmp_path)})


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (NEW, "Deleting CAN bus device 'o' is not supported"),
        (OLD, "object 'o' is in use, can not be deleted"),
    ],
)
def test_a_bus_stays(place, text):
    with pytest.raises(QMPError) as error:
        CanBus("o", {}, place).check_deletable()
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ({"qom-type": "can-bus"}, {}),
        ({"qom-type": "main-loop"}, {"thread-pool-max": 64}),
        ({"qom-type": "authz-simple", "identity": "x"}, {"identity": "x"}),
        ({"qom-type": "authz-list", "policy": "allow"}, {"policy": "allow", "rules": []}),
        ({"qom-type": "cryptodev-backend"}, {"queues": 1}),
        ({"qom-type": "tls-creds-anon"}, {"endpoint": "client", "verify-peer": True}),
        ({"qom-type": "thread-context", "cpu-affinity": [0]}, {"cpu-affinity": [0]}),
    ],
)
def test_a_client_reads_what_it_made(make_machine, arguments, values):
    machine = make_machine("-M", "none")
    machine.execute("object-add", id="o", **arguments)
    (told,) = machine.execute("qom-list-get", paths=["/objects/o"])
    found = {each["name"]: each.get("value") for each in told["properties"]}
    assert found.items() >= {"type": arguments["qom-type"], **values}.items()


def test_a_type_that_this_qemu_lacks(make_machine):
    with pytest.raises(client.QMPError) as error:
        make_machine("-M", "none").execute(
            "object-add", **{"qom-type": "memory-backend-epc", "id": "o", "size": 4096}
        )
    assert error.value.desc == "invalid object type: memory-backend-epc"
