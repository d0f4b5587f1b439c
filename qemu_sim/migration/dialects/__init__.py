"""The ways to ask for a backend transfer: one file each, found by its TYPE (`-sim dialect=`)."""
