"""The machine: an aggregate of run state, events, backends, devices and migration."""
