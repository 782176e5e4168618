"""What the doctor tells of several nodes."""

from mpidl.doctor import __main__ as command
from mpidl.doctor import finding, report
from mpidl.doctor.finding import Finding
from mpidl.doctor.report import NodeReport

MPI, OTHER = Finding("MPI", "MPICH 5"), Finding("MPI", "MPICH 4", ("It is old: renew it.",))

CORES = Finding("cores", "8", notes=("They are few.",))


def test_one_node_is_told_part_by_part():
    assert list(report.lines([NodeReport("a", (MPI, CORES))])) == [
        "a:",
        "  MPI            MPICH 5",
        "  cores          8",
        "",
        "note: They are few.",
        "nothing is wrong",
    ]


def test_nodes_that_differ_are_told_once_with_what_differs():
    same, odd = (MPI, CORES), (OTHER, CORES)
    reports = [NodeReport("a", same), NodeReport("b", same)]
    reports += [NodeReport(host, odd) for host in "cdefgh"]
    assert list(report.lines(reports)) == [
        "a, b, c, d and 4 more:",
        "  MPI            MPICH 5",
        "  cores          8",
        "but c, d, e, f and 2 more:",
        "  MPI            MPICH 4",
        "",
        "wrong: It is old: renew it. (on c, d, e, f and 2 more)",
        "note: They are few.",
        "1 thing is wrong",
    ]


def test_the_exit_code_says_whether_anything_is_wrong(capsys):
    assert command.tell([NodeReport("a", (MPI, CORES))], as_json=False) == 0
    assert capsys.readouterr().out.endswith("\nnothing is wrong\n")
    assert command.tell([NodeReport("a", (MPI,)), NodeReport("b", (OTHER,))], as_json=True) == 1
    assert '"MPICH 4"' in capsys.readouterr().out


def test_a_finding_comes_back_from_its_line():
    import json

    for one in (MPI, OTHER, CORES):
        assert finding.read(json.dumps(one.plain())) == one


def test_what_several_parts_say_is_told_once():
    again = Finding("mpiexec", "none", OTHER.wrong)
    assert report.sentences([NodeReport("a", (OTHER, again))], "wrong") == [*OTHER.wrong]
