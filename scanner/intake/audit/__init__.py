"""The intake's append-only audit log: a Merkle tree over its entries, and signed checkpoints of that tree."""
