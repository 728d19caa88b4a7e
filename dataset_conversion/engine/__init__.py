"""The engine behind ``nnunet_ext convert``: discovers, checks, converts and reports cases, and resumes."""
