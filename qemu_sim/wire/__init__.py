"""Pure protocol arithmetic: bytes, descriptors and the time come in as arguments."""
