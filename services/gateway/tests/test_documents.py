"""docs/documents.md: every example is taken in, every field is named, and the description knows the same fields."""

import re
from pathlib import Path

import msgspec
import pytest
from tieout.contracts.finance import CompanyOpened
from tieout.contracts.inventory import ArticlesListed
from tieout.gateway.channels.canonical import FORMS, KINDS
from tieout.gateway.http.intake import PATH

PAGE = (Path(__file__).parents[3] / "docs" / "documents.md").read_text(encoding="utf-8")
EXAMPLES = [msgspec.json.decode(text) for text in re.findall(r"^```json\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def test_each_kind_has_an_example_of_its_own():
    assert [example["kind"] for example in EXAMPLES] == list(KINDS)


def test_no_example_is_a_document_of_the_first_order_by_hand_with_other_content():
    (by_hand,) = re.findall(r"^```sh\n(put\(\) .+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    sent = set(re.findall(r'"kind": "(\w+)", "company": "MINE", "number": "([^"]+)"', by_hand))
    assert len(sent) == 2
    assert not sent & {(example["kind"], example["number"]) for example in EXAMPLES}
    ordered = {example["number"] for example in EXAMPLES if example["kind"] == "order"}
    text = msgspec.json.encode(EXAMPLES).decode()
    assert set(re.findall(r'"order_number":"([^"]+)"', text)) == ordered


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_is_named_on_the_page(kind):
    fields = {field.name for field in msgspec.structs.fields(FORMS[kind].document)}
    named = set(re.findall(r"[`\"](\w+)[`\"]", PAGE))
    assert fields <= named


async def test_each_example_leads_to_its_command(house):
    await house.hear(
        CompanyOpened("MINE", "My company", "CNY", "Asia/Shanghai"), ArticlesListed("MINE", "l9", ("TEA", "POT"))
    )
    await house.welcome("desk", companies=["MINE"])
    for example in EXAMPLES:
        document = await house.document(await house.send(example, satellite="desk"))
        assert (document["state"], document.get("refusals", [])) == ("mapped", [])
        assert [command["kind"] for command in document["commands"]] == [example["kind"]]


async def test_the_description_knows_each_kind_and_refuses_what_nobody_knows(house):
    description = (await house.client.get("/openapi.json")).json()
    schemas = description["components"]["schemas"]
    content = description["paths"][PATH + "{satellite}/{channel}"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"]["anyOf"][0] == {"$ref": "#/components/schemas/Document"}
    told = schemas["Document"]
    assert set(told["discriminator"]["mapping"]) == set(KINDS)
    for example in EXAMPLES:
        schema = schemas[told["discriminator"]["mapping"][example["kind"]].rpartition("/")[2]]
        assert schema["properties"]["kind"] == {"enum": [example["kind"]]}
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) <= set(example) <= set(schema["properties"])
        for name in ("lines", "allocations"):
            if name in example:
                inner = schemas[schema["properties"][name]["items"]["$ref"].rpartition("/")[2]]
                assert inner["additionalProperties"] is False
                for line in example[name]:
                    assert set(inner["required"]) <= set(line) <= set(inner["properties"])
