"""The list of known hashes: file format, reading, building, deltas."""

from scanner.hashset.attaching import attach_calibration as attach_calibration
from scanner.hashset.builder import HashSetBuilder as HashSetBuilder
from scanner.hashset.calibration import Calibration as Calibration
from scanner.hashset.calibration import Edit as Edit
from scanner.hashset.calibration import Stratum as Stratum
from scanner.hashset.entry import Entry as Entry
from scanner.hashset.layers import DeltaBuilder as DeltaBuilder
from scanner.hashset.layers import LayeredSet as LayeredSet
from scanner.hashset.layers import open_layers as open_layers
from scanner.hashset.lists import read_hash_list as read_hash_list
from scanner.hashset.pictures import find_files as find_files
from scanner.hashset.pictures import read_pictures as read_pictures
from scanner.hashset.reader import Check as Check
from scanner.hashset.reader import HashSet as HashSet
