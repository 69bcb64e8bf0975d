"""Tests wait for a state, and a test that fails says what it waited for in vain."""

import asyncio
import itertools

import pytest
from tieout.devstack.patience import until


async def test_what_is_found_once_it_satisfies_is_the_answer():
    numbers = itertools.count()

    async def look():
        return next(numbers)

    assert await until(look, lambda found: found > 2) == 3


async def test_what_never_comes_is_told_with_what_was_found_last():
    async def look():
        return ["half of it"]

    with pytest.raises(AssertionError, match=r"within 0\.2 s; found last: \['half of it'\]"):
        await until(look, lambda found: len(found) > 1, seconds=0.2)


async def test_a_look_that_does_not_end_is_told_so():
    with pytest.raises(AssertionError, match="no look came to an end"):
        await until(asyncio.Event().wait, seconds=0.05)


async def test_a_look_that_gave_up_by_itself_is_no_end_of_our_patience():
    async def look():
        raise TimeoutError("the broker did not answer")

    with pytest.raises(TimeoutError, match="the broker did not answer"):
        await until(look)


async def test_what_may_fail_meanwhile_is_looked_for_again_and_told_at_the_end():
    numbers = itertools.count()

    async def look():
        if (number := next(numbers)) < 3:
            raise ConnectionError(f"refused {number}")
        return number

    assert await until(look, passing=(ConnectionError,)) == 3

    async def refused():
        raise ConnectionError("refused for ever")

    with pytest.raises(AssertionError, match="found last: ConnectionError"):
        await until(refused, seconds=0.2, passing=(ConnectionError,))
