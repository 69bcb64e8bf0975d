"""What cannot be compared is refused, and not called agreement."""

import argparse
import io
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from tieout.devstack import census
from tieout.devstack.failures import CommandFailed


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    census.add_arguments(parser)
    return parser.parse_args(["web", *words])


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_columns_that_no_comma_separates_are_called_by_their_separator(separator, name):
    content = f"number{separator}amount\n1001{separator}3\n"
    with pytest.raises(CommandFailed, match=f"separated by {name}. Save it with commas"):
        census.read(content, asked("-"))


@pytest.mark.parametrize("content", ["", "number,amount\n", "[]"])
def test_a_list_without_orders_agrees_with_nothing(tmp_path: Path, content):
    file = tmp_path / "orders"
    file.write_text(content)
    with pytest.raises(CommandFailed, match="lists no order, so nothing can be compared"):
        census.run(asked(str(file)))


async def test_a_satellite_that_nobody_described_is_refused():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b'{"satellites": []}')

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway") as client:
        with pytest.raises(CommandFailed, match=r"there is no satellite 'nosuch'\. There is none yet"):
            await census._make_sure_of(client, "nosuch")


def test_numbers_that_were_taken_as_the_same_are_told():
    console = Console(file=io.StringIO(), width=80)
    census.show(census.Report("web", 2, 2, [], [], other_sign=["#1001"]), console)
    told = " ".join(console.file.getvalue().split())
    assert "1 order is listed with another sign than here, as #1001 for 1001; it was taken as the same" in told


async def test_an_order_that_is_taken_as_the_same_is_not_only_ours_too():
    answers = {
        "census": b'{"agree": 3, "found": [], "other_sign": ["#1", "#2", "#3"]}',
        "orders": b'{"numbers": ["2", "#4"]}',
        "intake-progress": b'{"satellites": []}',
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200,
            content=answers[request.url.path.rsplit("/", 1)[-1]]
            if request.method == "POST" or "progress" in request.url.path
            else answers["orders"],
        )

    listed = [census.Listed(f"#{day}", date=f"2026-11-0{day}") for day in (1, 2, 3)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway") as client:
        report = await census.compare(client, "web", listed)
    assert report.only_ours == ["#4"]
