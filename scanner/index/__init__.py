"""A hash set to every known hash within a radius, exactly."""

from scanner.index.engines import CROSSOVER as CROSSOVER
from scanner.index.engines import ENGINES as ENGINES
from scanner.index.engines import engine_for as engine_for
from scanner.index.engines import open_index as open_index
from scanner.index.hits import Hits as Hits
from scanner.index.hits import Index as Index
from scanner.index.hits import ManyHits as ManyHits
from scanner.index.pairs import distance_histogram as distance_histogram
from scanner.index.pairs import distances as distances
