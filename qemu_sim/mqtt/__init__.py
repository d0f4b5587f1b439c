"""Events and status of one machine, published to an MQTT broker (-sim mqtt=URL).

Imported only when asked for: pydantic and aiomqtt cost more time than the rest together.
"""

from qemu_sim.mqtt.publisher import Publisher

__all__ = ["Publisher"]
