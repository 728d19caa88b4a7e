"""Image files of microscopy and radiology: reading them with their voxel spacing, writing instance labels."""
