"""Guest RAM and the split virtqueue in it. Source: the VIRTIO 1.2 specification."""
