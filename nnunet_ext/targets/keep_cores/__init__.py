"""Thinner bands and moved core voxels where the touching band takes too much of an instance."""

from nnunet_ext.targets.keep_cores.thinning import restore_cores

__all__ = ["restore_cores"]
