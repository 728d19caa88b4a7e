"""PulmonaryVA: its converter, and volumes of which one half may not be labelled."""
