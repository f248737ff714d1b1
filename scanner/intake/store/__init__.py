"""The intake's database: one writer at a time, and everything it writes is told to the audit log."""
