"""The 2018 Data Science Bowl: its converter, and cell bodies drawn by hand."""
