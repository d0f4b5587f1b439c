"""Monitors: QMP and HMP sessions on sockets, pipes and inherited descriptors."""
