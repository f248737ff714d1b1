"""Who may do what, and how often: operators, sessions, devices and their tokens, limits."""
