"""What other packages do with arrays: checks, components, persistence, nearest objects, work in parts."""
