"""From the event log to the sockets of the viewers."""
