"""The room `network`: its clock against closed forms, who is there against the stationary share."""

import networkx as nx
import numpy as np
import pytest

from mpidl import plan
from mpidl.config import runfile
from mpidl.config.faults import Fault
from mpidl.plan import network
from mpidl.plan.network import Clock, Presence, Traffic

MESSAGE = 1000
STEPS = 4


def settings(**given):
    return runfile.validate({"network": given}, {}).network


def steady(graph, delays=0):
    """All links of a graph, in every round."""
    links = np.array(sorted(nx.DiGraph(graph).edges), int).reshape(-1, 2)

    def traffic(round_):
        late = np.minimum(np.full(len(links), delays), round_)
        return Traffic(links, late, np.ones(len(graph), bool), MESSAGE)

    return traffic


def clock(graph, stragglers=(), delays=0, traffic=None, **given):
    given = {"step_seconds": 0.5, **({"delay": delays} if delays else {}), **given}
    steps = np.full(len(graph), STEPS)
    traffic = traffic or steady(graph, delays)
    return Clock(settings(**given), steps, list(stragglers), 0, traffic)


# The clock


def test_nothing_takes_time_where_no_network_is_described():
    ring = nx.cycle_graph(5)
    still = Clock(settings(), np.full(5, STEPS), [], 0, steady(ring))
    assert [still(r).tolist() for r in range(3)] == [[0.0] * 5] * 3


@pytest.mark.parametrize("graph", [nx.cycle_graph(6), nx.complete_graph(4), nx.star_graph(4)])
def test_equal_devices_take_steps_latency_and_the_time_of_a_message(graph):
    even = clock(graph, latency=0.25, bandwidth=500.0)
    for round_ in range(4):
        want = (round_ + 1) * (STEPS * 0.5 + 0.25 + MESSAGE / 500)
        np.testing.assert_allclose(even(round_), want, rtol=1e-12)


def test_links_share_the_uplink_of_a_sender_and_the_downlink_of_a_receiver():
    """In a star the hub sends to four at once and hears four at once; leaves one each."""
    star = nx.star_graph(4)
    up = clock(star, step_seconds=0.0, uplink=100.0)
    np.testing.assert_allclose(up(0), [10, 40, 40, 40, 40])
    down = clock(star, step_seconds=0.0, downlink=100.0)
    np.testing.assert_allclose(down(0), [40, 10, 10, 10, 10])
    least = clock(star, step_seconds=0.0, uplink=100.0, downlink=20.0, bandwidth=50.0)
    np.testing.assert_allclose(least(0), [4 * 50, 50, 50, 50, 50])


def test_the_wavefront_of_a_slow_device_spreads_one_hop_a_round():
    devices, slow = 11, 5
    ring = nx.cycle_graph(devices)
    late = clock(ring, stragglers=[slow], slowdown=3.0)
    hops = np.array([nx.shortest_path_length(ring, slow, i) for i in range(devices)])
    fast, slowed = STEPS * 0.5, 3 * STEPS * 0.5
    for round_ in range(8):
        # The longest way through rounds and devices: as many at the slow one as leave time to come
        # here, the last hop within the round.
        at_slow = np.minimum(round_ + 1, round_ + 2 - hops)
        through = np.where(at_slow > 0, at_slow * slowed + (round_ + 1 - at_slow) * fast, 0)
        np.testing.assert_allclose(late(round_), np.maximum((round_ + 1) * fast, through))


def test_a_chain_in_one_direction_slows_down_only_what_lies_behind():
    chain = nx.DiGraph([(0, 1), (1, 2), (2, 3)])
    found = clock(chain, stragglers=[1], slowdown=2.0, latency=1.0)(9)
    # The last one hears in a round what its neighbor, slowed down in the round before, has trained.
    np.testing.assert_allclose(found, [10 * 2, 10 * 4, 10 * 4 + 1, 9 * 4 + 1 + 2 + 1])


def test_delays_let_devices_run_ahead_as_the_recursion_says():
    """Against the definition, device by device and round by round."""
    graph, delay = nx.star_graph(3), 2
    found = clock(graph, stragglers=[2], delays=delay, slowdown=5.0, latency=0.3)
    training = np.array([2.0, 2.0, 10.0, 2.0])
    trained, finished = [], [np.zeros(4)]
    for round_ in range(9):
        trained.append(finished[-1] + training)
        heard = trained[max(0, round_ - delay)]
        finished.append(
            np.array([max(trained[-1][i], *(heard[j] + 0.3 for j in graph[i])) for i in range(4)])
        )
        np.testing.assert_allclose(found(round_), finished[-1])


def test_who_sits_out_lets_the_round_pass_and_is_waited_for_by_nobody():
    ring = nx.cycle_graph(3)
    everything = steady(ring)

    def traffic(round_):
        whole = everything(round_)
        if round_ != 1:
            return whole
        active = np.array([True, True, False])
        works = active[whole.links].all(axis=1)
        return Traffic(whole.links[works], whole.delays[works], active, MESSAGE)

    found = clock(ring, stragglers=[2], traffic=traffic)
    np.testing.assert_allclose(found(0), 20)
    np.testing.assert_allclose(found(1), 22)
    np.testing.assert_allclose(found(2), 42)


def test_times_are_the_same_in_whatever_order_they_are_asked_for():
    ring = nx.cycle_graph(5)
    forward, back = (clock(ring, jitter=0.5, latency=0.1) for _ in range(2))
    ahead = [forward(r).copy() for r in range(6)]
    for round_ in (5, 2, 4, 0):
        np.testing.assert_array_equal(back(round_), ahead[round_])


def test_jitter_has_the_median_of_a_device_without_it():
    alone = nx.empty_graph(1)
    jittered = clock(alone, jitter=0.5)
    spent = np.diff([0.0, *(jittered(r)[0] for r in range(2000))])
    assert np.median(spent) == pytest.approx(STEPS * 0.5, rel=0.05)
    assert np.std(np.log(spent)) == pytest.approx(0.5, rel=0.05)


def test_vectors_that_are_exchanged_before_training_wait_for_the_round_before():
    """Against the definition: mix when neighbors have finished the last round, then train."""
    graph = nx.path_graph(4)
    training = np.array([2.0, 6.0, 2.0, 2.0])
    found = Clock(
        settings(step_seconds=0.5, latency=0.25, slowdown=3.0),
        np.full(4, STEPS),
        [1],
        0,
        steady(graph),
        ahead=True,
    )
    finished = np.zeros(4)
    for round_ in range(6):
        heard = [max(finished[i], *(finished[j] + 0.25 for j in graph[i])) for i in range(4)]
        finished = np.array(heard) + training
        np.testing.assert_allclose(found(round_), finished)


# Who is there


@pytest.mark.parametrize(("leave", "back"), [(0.1, 0.3), (0.5, 0.5), (0.02, 0.9)])
def test_in_the_long_run_the_stationary_share_is_there(leave, back):
    there = Presence(settings(leave=leave, back=back), 200, 3)
    shares = [there(round_).mean() for round_ in range(600)]
    assert shares[0] == 1
    want = back / (leave + back)
    # 200 chains whose correlation falls by 1 - leave - back a round.
    effective = 200 * 500 * (leave + back) / (2 - leave - back)
    error = 4 * np.sqrt(want * (1 - want) / effective)
    assert np.mean(shares[100:]) == pytest.approx(want, abs=error)


def test_presence_depends_on_seed_and_round_alone():
    given = settings(leave=0.3, back=0.4)
    one, other, third = Presence(given, 30, 1), Presence(given, 30, 1), Presence(given, 30, 2)
    ahead = [one(r).copy() for r in range(20)]
    for round_ in (19, 3, 11):
        np.testing.assert_array_equal(other(round_), ahead[round_])
    assert any((third(r) != ahead[r]).any() for r in range(20))


def test_outages_are_as_planned():
    there = Presence(settings(outages=[[2, 1, 3], [0, 2, 9]]), 4, 0)
    assert not there.steady
    gone = [np.flatnonzero(~there(r)).tolist() for r in range(4)]
    assert gone == [[], [2], [0, 2], [0]]
    assert Presence(settings(), 4, 0).steady


def test_those_away_neither_train_nor_exchange():
    made = plan.make(plan.read(None, ["network.outages=[[1, 0, 2]]", "topology.devices=6"], 1), 1)
    assert made.active(0) == {0, 2, 3, 4, 5}
    assert 1 not in {end for edge in made.round_graph(1).edges for end in edge}
    assert made.active(2) == set(range(6))
    assert made.mixing_weights(0, [1])[1][0] == [1]
    assert not made.steady


def test_absence_goes_with_participation():
    base = ["topology.devices=40", "training.participation=0.5"]
    drawn = plan.make(plan.read(None, base, 1), 1)
    both = plan.make(plan.read(None, [*base, "network.leave=0.3"], 1), 1)
    for round_ in range(5):
        assert both.active(round_) <= drawn.active(round_)
    assert any(both.active(r) < drawn.active(r) for r in range(5))


# How late links are


def test_delays_are_drawn_once_for_each_link_or_anew_in_each_round():
    one = settings(delay=[1, 3])
    np.testing.assert_array_equal(network.delays(one, 50, 0, 4), network.delays(one, 50, 0, 9))
    assert set(network.delays(one, 50, 0, 0)) == {1, 2, 3}
    anew = settings(delay=[0, 2], delay_draw="per_round")
    assert (network.delays(anew, 50, 0, 4) != network.delays(anew, 50, 0, 9)).any()
    assert network.longest(one) == 3
    assert set(network.delays(settings(delay=2), 5, 0, 0)) == {2}


def test_lags_are_those_of_links_that_work():
    made = plan.make(
        plan.read(
            None,
            ["topology.devices=12", "network.delay=[0, 2]", "topology.link_probability=0.6"],
            1,
        ),
        1,
    )
    for round_ in range(4):
        lags, working = made.lags(round_), made.round_graph(round_)
        there = {tuple(link) for link in made.links[lags >= 0].tolist()}
        assert there == set(working.edges)
        assert lags.max() <= round_
        late = made.late(round_, range(12))
        found = {(j, i): lag for i, of in late.items() for j, lag in of.items()}
        known = {tuple(link): lag for link, lag in zip(made.links.tolist(), lags, strict=True)}
        assert found == {link: lag for link, lag in known.items() if lag > 0}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ["network.delay=2", "exchange.mixing=delayed"],
            "network.delay = 2: needs exchange.mixing",
        ),
        (["network.outages=[[9, 1, 2]]"], "must name devices of the graph, 0 to 7"),
        (["network.stragglers=8"], "network.stragglers = 8: must be a device of the graph, 0 to 7"),
        (["network.stragglers=random:0%"], "network.stragglers = 'random:0%': must be a device"),
        (["attack.name=sign_flip", "attack.devices=8"], "attack.devices = 8: must be a device"),
        (["attack.name=sign_flip", "attack.devices=[]"], "must name at least one device"),
        (["attack.name=sign_flip", "attack.devices=random:100%"], "one of 8 devices honest"),
        (["attack.name=noise", "exchange.mixing=sequential"], "attack.name = 'noise': needs"),
        (["network.latency=1", "exchange.mixing=sequential"], "has no clock"),
        (["attack.name=sing_flip"], "unknown attack; did you mean 'sign_flip'?"),
    ],
    ids=str,
)
def test_what_does_not_go_is_told_in_one_sentence(given, told):
    with pytest.raises(Fault) as fault:
        plan.make(plan.read(None, ["topology.devices=8", *given], 1), 1)
    assert len(fault.value.sentences) == 1
    assert told in fault.value.sentences[0]


MANY = [[i % 8, i, i + 2] for i in range(5000)]


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("network.outages", [*MANY, [3, 5, 5], *MANY], "ascending order; entry 5,001 of 10,001 is"),
        ("network.outages", [*MANY, [3, 5]], "; entry 5,001 of 5,001 is [3, 5]."),
        (
            "network.outages",
            [*MANY, [8, 5, 6]],
            "graph, 0 to 7; entry 5,001 of 5,001 is [8, 5, 6].",
        ),
        ("ood.sources", [*range(8), 0.5, *range(8)], "; entry 9 of 17 is 0.5."),
        ("exchange.sequence", [*range(5), -1, 7], "; entry 6 of 7 is -1."),
        ("exchange.sequence", [*range(7), 3], "each device from 0 to 7 once; entry 8 of 8 is 3."),
        ("exchange.sequence", [*range(4)], "each device from 0 to 7 once; device 4 is missing."),
        ("network.outages", [[3, 5, 2]], "in ascending order."),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_a_bad_entry_among_thousands_is_named(setting, value, told):
    with pytest.raises(Fault) as fault:
        plan.make(plan.read(None, ["topology.devices=8", f"{setting}={value}"], 1), 1)
    assert len(fault.value.sentences) == 1
    assert told in fault.value.sentences[0]


def test_a_share_of_devices_is_chosen_for_each_purpose_anew():
    wanted = ["topology.devices=20", "attack.name=sign_flip", "attack.devices=random:20%"]
    made = plan.make(plan.read(None, [*wanted, "network.stragglers=random:20%"], 1), 1)
    assert len(made.attackers) == len(made.stragglers) == 4
    assert made.attackers != made.stragglers


def test_a_rank_keeps_what_may_be_late_of_all_whom_it_hears():
    """On a ring of 8 a rank hosts 4 and hears 2 more: 3 vectors of each, and one more to mix in."""
    ring = ["topology.name=ring", "topology.devices=8"]
    punctual, late = (
        plan.make(plan.read(None, [*ring, f"network.delay={delay}"], 2), 2) for delay in (0, 3)
    )
    assert late.readable(late.hosted(0)) == [0, 1, 2, 3, 4, 7]
    assert late.numbers(100, 0) - punctual.numbers(100, 0) == 100 * (3 * 6 + 4)
