"""What a run tells on rank 0 while it goes on."""

import numpy as np
import pytest

from mpidl.run.console import PHASES, Display


@pytest.mark.parametrize(
    ("mass", "told"),
    [
        ([1, 2e-15, 2, 1], "of device 1 is not finite, and push_sum divides by masses as small as"),
        ([1, 0.5, 1, 1], "of device 1 is not finite\n"),
        ([np.nan] * 4, "of device 1 is not finite\n"),
    ],
)
def test_where_push_sum_divides_by_next_to_nothing_it_is_named(mass, told, capsys):
    display = Display(5, quiet=False)
    seconds = {f"seconds_{phase}": np.zeros(4) for phase in PHASES}
    display.watch(0, {**seconds, "finite": np.array([1, 0, 1, 1]), "mass": np.array(mass, float)})
    assert told in capsys.readouterr().out


def test_attackers_are_left_out_of_accuracies(capsys):
    display = Display(1, quiet=False, attackers=[1])
    values = {f"seconds_{phase}": np.zeros(3) for phase in PHASES}
    accuracy = np.array([0.5, 0, 0.7])
    display.watch(0, {**values, "iid_accuracy_mixed": accuracy, "finite": np.ones(3)})
    assert "IID 0.600 ± 0.100" in capsys.readouterr().out
    assert accuracy[1] == 0
    display.console.print(display.table(np.array([0, 1, 1])))
    said = capsys.readouterr().out
    assert "mean over devices that do not attack [min, max]\n" in said
    assert "2 │ 0.600 [0.500, 0.700]" in said
    assert "1 │ 0.700 [0.700, 0.700]" in said


def test_where_all_attack_there_is_nothing_to_tell(capsys):
    display = Display(1, quiet=False, attackers=[0])
    values = {f"seconds_{phase}": np.zeros(1) for phase in PHASES}
    display.watch(0, {**values, "iid_accuracy_mixed": np.ones(1), "finite": np.ones(1)})
    display.console.print(display.table(np.zeros(1, np.int64)))
    assert "IID 1" not in capsys.readouterr().out


def test_a_round_of_which_nothing_can_be_seen_says_that_it_was(capsys):
    values = {f"seconds_{phase}": np.zeros(4) for phase in PHASES}
    Display(5, quiet=False).watch(0, values)
    assert capsys.readouterr().out == "round 1/5  left 0:00\n"


def test_the_phases_of_a_round_add_up_over_the_devices_of_a_rank(capsys):
    """Ten thousand devices on two ranks: 10 s of training, not the 0.002 s of one device."""
    hosts = np.arange(10_000) // 5_000
    values = {f"seconds_{phase}": np.zeros(10_000) for phase in PHASES}
    values["seconds_train"] = 0.002 + 1e-9 * np.arange(10_000)
    values["seconds_wait"][hosts == 0] = 0.25
    values["seconds_weights"][:] = 1.5
    values["seconds_mix"][:] = 0.7
    Display(3, quiet=False, hosts=hosts).watch(0, values)
    assert "train 10.04 weights 1.50 mix 0.70 s" in capsys.readouterr().out


def test_a_brief_display_shows_warnings_alone(capsys):
    display = Display(5, quiet=False, brief=True)
    seconds = {f"seconds_{phase}": np.zeros(4) for phase in PHASES}
    display.watch(0, {**seconds, "finite": np.ones(4)})
    display.tell("a summary")
    display.watch(1, {**seconds, "finite": np.array([1, 0, 1, 1])})
    assert capsys.readouterr().out == "round 2: the training loss of device 1 is not finite\n"


def test_what_others_say_is_told_as_it_is(capsys):
    said = "x[/b]: no [b]disk[/b], :warning:"
    Display(1, quiet=False).console.print(said)
    assert capsys.readouterr().out == f"{said}\n"
