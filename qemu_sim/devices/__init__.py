"""What the guest sees. A file's name is the QMP name of the device."""
