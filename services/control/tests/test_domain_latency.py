"""Latencies: counted in buckets, paired whichever notice is heard first."""

from hypothesis import given
from hypothesis import strategies as st
from tieout.control.domain.latency import GROWTH, JOURNEY, Meter, bucket_of, percentile_ms, upper_ms

PLACED, SHIPPED = "order.placed.v1", "inventory.shipped.v1"


@given(st.floats(0, 1e7))
def test_a_bucket_holds_its_value_within_nine_percent(milliseconds: float) -> None:
    upper = upper_ms(bucket_of(milliseconds))
    assert upper * 1.000001 >= milliseconds
    assert milliseconds <= 1 or upper <= milliseconds * GROWTH * 1.000001


@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_the_sorted_value_rounded_up_to_its_bucket(values: list[float], share: float) -> None:
    buckets: dict[int, int] = {}
    for value in values:
        buckets[bucket_of(value)] = buckets.get(bucket_of(value), 0) + 1
    exact = next(v for n, v in enumerate(sorted(values), 1) if n >= len(values) * share)
    assert percentile_ms(buckets, share) == upper_ms(bucket_of(exact))


def test_nothing_counted_has_no_latency() -> None:
    assert percentile_ms({}, 0.99) == 0.0


def test_a_pair_is_measured_in_either_order_of_hearing() -> None:
    meter = Meter()
    assert meter.hear(100, [PLACED], ["a"], [""], ["o1"]) == []
    assert meter.hear(130, [SHIPPED], ["b"], ["a"], ["o1"]) == [((PLACED, SHIPPED), 30)]
    assert meter.hear(230, [SHIPPED], ["d"], ["c"], ["o2"]) == []
    assert meter.hear(200, [PLACED], ["c"], [""], ["o2"]) == [((PLACED, SHIPPED), 30)]


def test_a_journey_runs_from_the_first_command_to_the_first_voucher() -> None:
    meter = Meter()
    first, voucher = JOURNEY
    meter.hear(0, [first], ["a"], [""], ["o1"])
    assert (JOURNEY, 250) in meter.hear(250, [voucher, voucher], ["x", "y"], ["s", "s"], ["o1", "o1"])
    assert meter.hear(300, [voucher], ["z"], ["t"], ["o1"]) == []
    meter.hear(500, [voucher], ["w"], [""], ["o2"])
    assert meter.hear(400, [first], ["v"], [""], ["o2"]) == [(JOURNEY, 100)]


def test_memory_is_bounded_and_forgetting_costs_a_sample_only() -> None:
    meter = Meter(remembered=2)
    meter.hear(0, [PLACED] * 3, ["a", "b", "c"], [""] * 3, ["o"] * 3)
    done = meter.hear(5, [SHIPPED] * 2, ["x", "y"], ["a", "c"], ["o"] * 2)
    assert done == [((PLACED, SHIPPED), 5)]
