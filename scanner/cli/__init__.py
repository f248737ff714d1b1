"""The command ``scanner``."""

from scanner.cli.app import main as main
