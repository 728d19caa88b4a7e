"""The one place that touches nnU-Net's trainer, plans and loader."""
