"""Thresholds of nested classes, tuned on the predictions that a fold's validation left."""
