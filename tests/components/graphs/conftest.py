"""Files of graphs."""

import pytest


@pytest.fixture
def written(tmp_path):
    """As ``written(content, name)``: the path of a new file with this text, or these bytes."""

    def write(content, name="graph.txt"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write
