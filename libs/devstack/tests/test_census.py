"""What cannot be compared is refused, and not called agreement."""

import argparse
from pathlib import Path

import httpx
import pytest
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
