"""A satellite's own list beside what has arrived: what is missing, kept back, different, or ours alone."""

import pytest
from tieout.contracts.watch import CensusRequest, Listed, OursRequest, RhythmsRequest
from tieout.gateway.census import census, census_ours
from tieout.gateway.flows.note_rhythm import rhythms
from tieout.servicekit import Refused


async def test_each_order_of_the_list_is_here_or_named_with_what_is_wrong(house):
    same, dearer, refused = house.order(), house.order(), {**house.order(), "currency": "XXX"}
    for order in (same, dearer, refused):
        await house.document(await house.send(order))
    database = house.service.database
    ours = await house.pool.fetch("SELECT number, amount_minor, business_date FROM command")
    amounts = {row["number"]: row["amount_minor"] for row in ours}
    day = ours[0]["business_date"].isoformat()
    listed = (
        Listed(same["number"], amounts[same["number"]], "CNY", day + "T10:00:00+08:00"),
        Listed(dearer["number"], amounts[dearer["number"]] + 1, "EUR"),
        Listed(refused["number"]),
        Listed("NEVER-CAME", 5),
    )
    part = await census(CensusRequest("till", listed), database)
    assert part.agree == 1
    assert [(one.number, one.state) for one in part.found] == [
        (dearer["number"], "differs"),
        (refused["number"], "quarantined"),
        ("NEVER-CAME", "missing"),
    ]
    assert part.found[0].fields == ("amount_minor", "currency")
    assert part.found[0].amount_minor == amounts[dearer["number"]]
    over_http = await house.post("/v1/satellites/till/census", orders=[{"number": "NEVER-CAME"}])
    assert over_http.json() == {"agree": 0, "found": [{"number": "NEVER-CAME", "state": "missing"}]}
    page = await census_ours(OursRequest("till", day, day, limit=1), database)
    rest = await census_ours(OursRequest("till", day, day, after=page.next), database)
    assert sorted((*page.numbers, *rest.numbers)) == sorted(amounts)
    assert rest.next == 0


async def test_an_order_that_one_side_writes_with_a_leading_sign_is_the_same_order(house):
    """As shops list them: #1001 on the screen, 1001 in what they send, or the other way round."""
    for number in ("1001", "#1002", "1003", "#1003"):
        await house.document(await house.send(house.order(number=number)))
    await house.document(await house.send(house.order(number="1004", currency="NIX")))
    await house.quiet()

    async def compared(*numbers):
        listed = tuple(map(Listed, numbers))
        part = await census(CensusRequest("till", listed), house.service.database)
        return part.agree, [(one.number, one.state) for one in part.found], part.other_sign

    told = await compared("#1001", "1002", "1003", "#1003", "#1004", "#1005")
    assert told == (4, [("#1004", "quarantined"), ("#1005", "missing")], ("#1001", "#1004", "1002"))
    assert await compared("1001", "#1001") == (
        1,
        [("#1001", "missing")],
        (),
    )  # Two orders of the list are not one here.


async def test_a_census_of_nobody_is_refused_with_the_next_step(house):
    with pytest.raises(Refused) as refused:
        await census(CensusRequest("nobody", ()), house.service.database)
    assert refused.value.problem.field == "satellite"
    with pytest.raises(Refused) as bad:
        await census_ours(OursRequest("till", "today", "2026-11-23"), house.service.database)
    assert bad.value.problem.field == "first_day"


async def test_what_arrives_becomes_the_satellites_rhythm_and_its_silence_is_told(house):
    await house.document(await house.send(house.order()))
    await house.pool.execute(
        "INSERT INTO rhythm SELECT 'till', date_trunc('minute', now()) - d * interval '1 day' - m * interval '1 min' "
        "FROM generate_series(1, 3) d, generate_series(0, 90) m"
    )
    await house.pool.execute("INSERT INTO rhythm SELECT 'till', date_trunc('minute', now()) - interval '61 minutes'")
    (told,) = (await rhythms(RhythmsRequest("till"), house.service.database)).satellites
    assert told.alarming
    assert 58 <= told.expected <= 61
    assert 3500 < told.silent_seconds < 3700
    await house.pool.execute("INSERT INTO rhythm SELECT 'till', date_trunc('minute', now())")
    (told,) = (await rhythms(RhythmsRequest("till"), house.service.database)).satellites
    assert not told.alarming
