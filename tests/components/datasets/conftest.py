"""Data sets that declare something else for the time of a test."""

import pytest

from mpidl.components.datasets import DATASETS


@pytest.fixture
def declare(monkeypatch):
    """Let a data set declare other properties than it does."""

    def changed(name, **properties):
        told = DATASETS.properties(name).model_copy(update=properties)
        monkeypatch.setitem(DATASETS._declared, DATASETS[name], told)

    return changed
