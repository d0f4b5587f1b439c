"""One machine becomes another: the stream, the hand-over, the status table."""
