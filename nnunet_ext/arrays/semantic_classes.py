"""The classes that instances become and are read off from again, and their names in dataset.json."""

BACKGROUND, CELL, TOUCHING, GAP = range(4)
#: class name -> label; a dataset with fewer classes leaves out the last ones
CLASSES = {"background": BACKGROUND, "cell": CELL, "touching": TOUCHING, "gap": GAP}
