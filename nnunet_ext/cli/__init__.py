"""The command line, ``nnunet_ext <verb>``: one thin module per verb, collected in `app`."""
