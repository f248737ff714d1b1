"""How often an innocent picture is flagged, how often a known one is missed, and how sure that is."""
