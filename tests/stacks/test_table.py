"""The table of stacks, and its rows."""

from tests.stacks import checks, table, test_stack


def test_a_stack_that_is_tried_again_replaces_its_column_and_no_other(tmp_path):
    path = tmp_path / "stacks.md"
    first = {"mpich": {"MPI": "MPICH 5", "main job": "yes"}, "openmpi": {"MPI": "Open MPI 5"}}
    table.write(path, first)
    columns = table.read(path)
    assert columns == first
    columns["openmpi"] = {"MPI": "Open MPI 6", "main job": "**fails**: x"}
    table.write(path, columns)
    assert table.read(path) == columns
    assert table.read(tmp_path / "none.md") == {}


def test_every_check_has_a_row():
    written = {name for name in vars(test_stack) if name.startswith("test_")}
    assert written == set(checks.ROWS)
