"""Webhooks out: what happened is written down with it, signed when it is sent, and sent again until it is taken."""
