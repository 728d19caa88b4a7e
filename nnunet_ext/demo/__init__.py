"""The whole path on synthetic vessels: stock nnU-Net against SCNP, in a few minutes on a laptop."""
