"""QMP commands, one file per QAPI module; each registers itself."""
