"""SSH workers: connections, remote commands, tunnels, probes and the pool. Knows no events and no HTTP
server.
"""
