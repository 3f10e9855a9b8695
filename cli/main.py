"""Entry point of `translation-monitor`."""


def main() -> int:
    """Run the command line; returns the exit code."""
    return 0
