"""`qemu-sim inspect FILE`: a migration stream, of ours or of a real QEMU, as a tree."""
