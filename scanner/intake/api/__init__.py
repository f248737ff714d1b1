"""The intake's HTTP interface, a file for each thing it speaks of."""
