"""What the simulated guest does with its NICs and disks while its machine runs."""
