"""The table of stacks, and its rows."""

from tests.stacks import __main__ as command
from tests.stacks import checks, table, test_stack
from tests.stacks.environments import Environment, MissingError
from tests.stacks.stacks import STACKS, serial


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


def test_a_stack_that_is_left_out_says_why_in_the_table(tmp_path, monkeypatch, capsys):
    def lacking(self):
        raise MissingError("this system is not Debian")

    monkeypatch.setattr(Environment, "set_up", lacking)
    path = tmp_path / "stacks.md"
    assert command.main(["debian-mpich", "--table", str(path)]) == 1
    assert table.read(path)["debian-mpich"]["MPI"] == "left out: this system is not Debian"
    assert "stacks: debian-mpich: left out: this system is not Debian" in capsys.readouterr().err


def test_a_stack_with_a_serial_hdf5_needs_no_package_of_debian_s_parallel_one():
    for stack in map(serial, STACKS):
        assert not [name for name in stack.debian if "hdf5" in name]
        assert stack.hdf5 == ""
