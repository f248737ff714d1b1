"""Bytes to upright, bounded pixels. The only package that imports Pillow."""

from scanner.media.decode import Accuracy as Accuracy
from scanner.media.decode import Picture as Picture
from scanner.media.decode import decode as decode
from scanner.media.limits import Limits as Limits
from scanner.media.source import Source as Source
from scanner.media.source import read_source as read_source
