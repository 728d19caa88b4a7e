"""What every other package does with arrays: checks, components, nearest of many objects, work in parts."""
