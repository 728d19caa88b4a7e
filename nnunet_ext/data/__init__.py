"""Small synthetic datasets, for the demo and the tests."""

from nnunet_ext.data.vessels import vessels, write_vessel_dataset

__all__ = ["vessels", "write_vessel_dataset"]
