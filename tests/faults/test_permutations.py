"""Some permutations of delivery in each run of the tests; `tieout chaos --permutations 20000` plays the rest."""

from tieout.devstack.chaos import permutations
from tieout.devstack.chaos.worlds import World

WORLDS = 12
FOUND_SOMETHING: tuple[int, ...] = ()  # Seeds that did, when the flows or the kit were otherwise.


async def test_any_order_of_delivery_with_failing_awaits_gives_books_that_agree():
    outcomes = await permutations.play_all([*FOUND_SOMETHING, 1, 2, 3], lambda outcome: None, worlds=WORLDS)
    assert [(one.seed, one.findings) for one in outcomes if one.findings] == []
    assert sum(one.deliveries for one in outcomes) > 1_000
    assert sum(sum(one.failures.values()) for one in outcomes) > 0


def test_the_same_seed_makes_the_same_world():
    import random

    assert World("W", random.Random(5)).commands == World("W", random.Random(5)).commands
