"""Errors that are meant to be read by the person who typed the command."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The text says what was found, where, and what to do.

    The command line prints it without a traceback and exits with code 1.
    """
