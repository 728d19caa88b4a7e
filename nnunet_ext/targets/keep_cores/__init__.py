"""Keeping a core of every cell where the touching band would erase or split it."""
