"""Monitors: QMP sessions on sockets, pipes and inherited descriptors."""
