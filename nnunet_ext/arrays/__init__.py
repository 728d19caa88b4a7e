"""The ground under every other room: checks, components, nearest cores, blocks and slabs of arrays."""
