"""The review console: pages that the server makes, for the people who decide on cases and for everyone who asks."""
