"""Small synthetic datasets, for the demo and the tests."""

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.data.nested import nested_cells, write_nested_dataset
from nnunet_ext.data.vessels import vessels, write_vessel_dataset

__all__ = ["crowded_cells", "nested_cells", "vessels", "write_nested_dataset", "write_vessel_dataset"]
