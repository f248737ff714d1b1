"""Untrusted media is decoded and hashed in another process, one that can do nothing else."""

from scanner.sandbox.confine import PROTECTIONS as PROTECTIONS
from scanner.sandbox.in_process import InProcessHasher as InProcessHasher
from scanner.sandbox.isolated import IsolatedHasher as IsolatedHasher
