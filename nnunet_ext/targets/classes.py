"""The classes of the semantic route to instances, by number and by their names in dataset.json."""

BACKGROUND, CELL, TOUCHING, GAP = range(4)
NAMES = ("background", "cell", "touching", "gap")
