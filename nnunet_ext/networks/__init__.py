"""Heads that the trainers put on nnU-Net's networks."""
