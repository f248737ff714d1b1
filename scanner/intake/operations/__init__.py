"""How the intake is run: logs, request ids, headers, metrics, traces and draining."""
