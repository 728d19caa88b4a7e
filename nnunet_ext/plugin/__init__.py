"""How nnU-Net finds the trainers of this package. Importing this module must stay free of cost."""
