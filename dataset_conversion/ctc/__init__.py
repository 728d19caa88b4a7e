"""The Cell Tracking Challenge: its converter, the table of its datasets, its annotations."""
