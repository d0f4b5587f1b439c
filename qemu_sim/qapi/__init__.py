"""What one QEMU version says of itself, and argument checks made from it."""
