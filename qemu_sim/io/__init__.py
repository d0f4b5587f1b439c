"""The only rooms that know sockets: bytes and descriptors on the event loop."""
