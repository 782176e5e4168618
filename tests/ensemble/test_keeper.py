"""What is done when a driver has ended, however it came to its end."""

from mpidl.ensemble import keeper


def test_commands_are_given_at_the_end(tmp_path):
    path = tmp_path / "a file"
    with keeper.kept("mark-of-a-test") as later:
        later("no-such-command")
        later("touch", str(path))
        assert not path.exists()
    assert path.exists()
