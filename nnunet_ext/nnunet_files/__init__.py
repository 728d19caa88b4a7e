"""What nnU-Net's files say, read in one place: dataset.json, nesting, folders, predictions, plans."""
