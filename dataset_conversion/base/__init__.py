"""What a converter is built from. Import these names from `nnunet_ext.dataset_conversion`."""
