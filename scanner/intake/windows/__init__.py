"""Accounts' windows: counted, exported for the opener, opened, and deleted when their time is over."""
