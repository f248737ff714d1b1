"""Cases: what reviewers decide on."""
