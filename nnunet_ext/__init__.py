"""nnunet-ext: topology, instances and nested classes for stock nnU-Net v2.

Importing this package loads nothing else: it runs at every interpreter start (see
``nnunet_ext.plugin.register``), so torch, numpy and nnunetv2 are imported where they are used.
"""

__version__ = "0.1.0"
