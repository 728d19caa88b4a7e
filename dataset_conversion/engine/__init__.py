"""The engine behind ``nnunet_ext convert``: finds, converts, checks, writes and reports cases, and resumes."""
