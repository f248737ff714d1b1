"""Pixels to perceptual hashes and quality."""

from scanner.hashing.algorithms import HASHERS as HASHERS
from scanner.hashing.algorithms import hash_media as hash_media
from scanner.hashing.algorithms import hash_picture as hash_picture
from scanner.hashing.algorithms import hash_pixels as hash_pixels
from scanner.hashing.algorithms import hash_turned as hash_turned
from scanner.hashing.pdq import Dihedral as Dihedral
from scanner.hashing.pdq import pdq_dihedral as pdq_dihedral
