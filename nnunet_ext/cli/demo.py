"""Verb demo."""


def demo() -> None:
    """Run demo."""
    raise NotImplementedError
