"""The list of known hashes: file format, reading, building."""

from scanner.hashset.builder import HashSetBuilder as HashSetBuilder
from scanner.hashset.entry import Entry as Entry
from scanner.hashset.lists import read_hash_list as read_hash_list
from scanner.hashset.pictures import find_files as find_files
from scanner.hashset.pictures import read_pictures as read_pictures
from scanner.hashset.reader import HashSet as HashSet
