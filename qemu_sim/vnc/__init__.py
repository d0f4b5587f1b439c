"""VNC displays, which show a black screen to real clients."""
