"""The benchmarks run on small figures: what they measure is no test, but that they still can is one."""

from tieout.devstack.bench import agreement, chain


async def test_the_chain_carries_a_small_backlog_and_the_books_agree(tmp_path) -> None:
    report = await chain.measure(tmp_path / "bench", 60, floors=False)
    assert report.orders == 60
    assert report.seconds >= report.seconds_posted > 0
    assert {"gateway", "order", "inventory", "finance", "postgres", "hub"} <= report.cpu_us_per_order.keys()


async def test_the_proof_of_loaded_books_agrees_and_names_what_was_edited(tmp_path) -> None:
    (report,) = await agreement.measure(tmp_path / "bench", [1000], 3)
    assert (report.orders, report.named) == (1000, 100)
    assert report.agree.requests < report.one.requests == report.hundred.requests <= 12
    assert report.of_three.requests <= 10  # The third book has the total of another one, and is not asked again.
