"""What the trainers change about nnU-Net's networks: heads on top of them, gates within."""
