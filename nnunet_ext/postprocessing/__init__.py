"""Steps after a prediction that change predicted labels."""

from nnunet_ext.postprocessing.closing import Structure, close_labels
from nnunet_ext.postprocessing.folder import ClosedFolder, close_folder

__all__ = ["ClosedFolder", "Structure", "close_folder", "close_labels"]
