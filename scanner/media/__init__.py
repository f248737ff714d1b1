"""Bytes to upright, bounded pixels. The only package that decodes: no other but the demo imports Pillow or PyAV."""

from scanner.media.decode import Accuracy as Accuracy
from scanner.media.decode import Picture as Picture
from scanner.media.decode import Scale as Scale
from scanner.media.decode import decode as decode
from scanner.media.frames import Frame as Frame
from scanner.media.frames import Media as Media
from scanner.media.limits import Limits as Limits
from scanner.media.source import Source as Source
from scanner.media.source import read_source as read_source
from scanner.media.video import is_video as is_video
