"""Pictures: what they have in common, and the contact sheet of a dataset. Arrays in, files out."""
