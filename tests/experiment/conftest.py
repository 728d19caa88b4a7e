import pytest
from experiments import make_dataset


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Dataset501_Lines in nnU-Net's three folders; the folder above them."""
    return make_dataset(tmp_path, monkeypatch)
