"""Where the seconds of a round are counted."""

from dataclasses import replace

from mpidl.devices import gossip
from mpidl.exchange import memory, neighborhoods
from mpidl.run import rounds
from mpidl.storage.round_values import RoundValues


def test_a_phase_takes_the_time_of_its_work_and_not_of_its_launch(comm, parts, monkeypatch):
    """On an accelerator that does what it was asked for when it is waited for."""
    now, left = [0.0], [0.0]

    def settle(_):
        now[0] += left[0]
        left[0] = 0

    def slow(does, seconds):
        def asked(*arguments, **named):
            left[0] += seconds
            return does(*arguments, **named)

        return asked

    for module in (gossip, memory, neighborhoods):
        monkeypatch.setattr(module, "settle", settle)
    devices = 2 * comm.size
    with parts(f"topology.devices={devices}", "exchange.backend=mpi") as made:
        exchange, algorithm = made.gossip.exchange, made.gossip._algorithm
        exchange.share, exchange.mix = slow(exchange.share, 10), slow(exchange.mix, 100)
        made.gossip._algorithm = replace(algorithm, give=slow(algorithm.give, 1000))
        row = RoundValues(list(made.devices), made.of_run, lambda: now[0])
        row.clear()
        rounds.exchange(made, row, 0, due=False)
    for phase, seconds in {"mix": 2100, "exchange": 10, "wait": 0, "evaluate": 0}.items():
        assert (row[f"seconds_{phase}"] == seconds).all(), phase
