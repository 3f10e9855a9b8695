"""`python -m service` is `translation-monitor serve`."""

import sys
from importlib import import_module

# By name: the service imports nothing of the command line, which is the roof over it.
sys.exit(import_module("cli.main").main(["serve", *sys.argv[1:]]))
