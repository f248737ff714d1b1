"""The review console: pages that the server makes, for the people who decide on cases and for everyone who asks."""

from scanner.intake.console.app import MOUNT, install

__all__ = ["MOUNT", "install"]
