"""Weight maps: how much each voxel counts in a weighted cross-entropy. Arrays in, arrays out, 2D and 3D.

============== ============================================= ====================================
map            gives weight to                               from
============== ============================================= ====================================
class_balance  rare classes                                  class labels
unet           background between two near cells             instances
distance       rare classes, and background near foreground  class labels
shape_aware    rare classes, and narrow or concave outlines  instances (class labels for balance)
============== ============================================= ====================================

Distances are in voxels, or in the units of `spacing` where that is given.
"""

from nnunet_ext.targets.weight_maps.balance import class_balance
from nnunet_ext.targets.weight_maps.distance import distance
from nnunet_ext.targets.weight_maps.shape_aware import shape_aware
from nnunet_ext.targets.weight_maps.unet import unet

__all__ = ["class_balance", "distance", "shape_aware", "unet"]
