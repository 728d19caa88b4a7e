"""The engine behind ``nnunet_ext convert``: finds, converts, checks, writes, reports cases, and resumes."""
