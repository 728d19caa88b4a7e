"""Python imports this at start-up where its folder is on PYTHONPATH: in every process that a test starts."""

import seeds

seeds.install()
