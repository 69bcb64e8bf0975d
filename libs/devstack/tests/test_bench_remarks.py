"""A floor that was measured with too few messages says so."""

from rich.console import Console
from tieout.devstack.bench import chain
from tieout.devstack.bench.floor import Floor


def told(orders: int) -> str:
    floors = {
        "batched": Floor("batched", orders, 1.0, 100.0, {}),
        "idiomatic": Floor("idiomatic", max(orders // chain.FLOOR_SHARE, 100), 1.0, 100.0, {}),
    }
    report = chain.ChainReport(orders, 1, 1, 1, 100, {}, 1, 1, floors, {"batched": 1.0, "idiomatic": 1.0})
    console = Console(width=200)
    with console.capture() as shown:
        console.print(chain.table(report))
    return shown.get()


def test_a_floor_of_few_messages_says_with_how_many_it_was_measured():
    assert "The batched floor was measured with 600 messages only" in told(600)
    assert "The idiomatic floor was measured with 100 messages only" in told(600)
    assert "messages only" not in told(12_000)
