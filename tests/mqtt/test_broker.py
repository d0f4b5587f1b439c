"""URLs of brokers."""

from __future__ import annotations

import pytest

from qemu_sim.machine.configuration import StartError
from qemu_sim.mqtt.broker import Broker


def test_all_parts():
    broker = Broker.parse("mqtt://us%40er:pa%2Fss@example.org:1884/lab/rack%201/")
    assert broker == ("example.org", 1884, "us@er", "pa/ss", "lab/rack 1")


def test_defaults():
    assert Broker.parse("mqtt://[::1]") == ("::1", 1883, None, None, "qemu-sim")


@pytest.mark.parametrize(
    "url",
    [
        "http://u:hidden@h",
        "mqtt://u:hidden@",
        "u:hidden@h",
        "mqtt://u:hidden@h:99999",
        "mqtt://u:hidden@h:x",
        "mqtt://u:hidden@h/a+b",
        "mqtt://u:hidden@h/a?b",
        "mqtt://u:hidden@h/a#b",
    ],
)
def test_what_is_refused_without_being_shown(url):
    with pytest.raises(StartError, match="-sim: mqtt: ") as caught:
        Broker.parse(url)
    assert "hidden" not in str(caught.value)


def test_no_representation_shows_the_password():
    broker = Broker.parse("mqtt://user:hidden@h")
    assert f"{broker} {broker!r}" == "h:1883 <Broker h:1883>"
