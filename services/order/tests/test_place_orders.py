import asyncio

from tieout.contracts.order import OrderPlaced, SubmissionConflicted, SubmissionRepeated


async def test_an_order_is_placed_with_its_lines_and_announced(desk):
    await desk.give(
        desk.submit(desk.line(1), desk.line(2, quantity=1, net=50, tax=0, kind="service", account="carriage"))
    )
    (placed,) = await desk.announced(OrderPlaced)
    assert placed.order_id == desk.id()
    assert (placed.net_minor, placed.tax_minor) == (350, 39)
    assert [(line.line_no, line.kind, line.cost_account) for line in placed.lines] == [
        (1, "goods", "cogs"),
        (2, "service", "cogs"),
    ]
    view = await desk.view()
    assert (view.summary.fulfilment, view.summary.billing, view.summary.payment) == ("open", "unbilled", "unpaid")
    assert [line.unallocated_micro for line in view.lines] == [3_000_000, 1_000_000]


async def test_what_ties_a_line_to_its_header_goes_along(desk):
    await desk.give(desk.submit(desk.line(1, residual_minor=1)))
    (placed,) = await desk.announced(OrderPlaced)
    assert placed.lines[0].residual_minor == 1


async def test_a_redelivered_command_changes_nothing(desk):
    message = desk.message(desk.submit())
    await desk.give(message, message)
    await desk.give(message)
    assert len(await desk.announced(OrderPlaced)) == 1
    assert await desk.announced(SubmissionRepeated) == []
    assert await desk.rows("SELECT position, outcome FROM submission") == [(1, "accepted")]


async def test_the_same_document_again_is_told_as_repeated(desk):
    await desk.give(desk.submit(), desk.submit())
    await desk.give(desk.submit(version="2"))
    assert len(await desk.announced(OrderPlaced)) == 1
    assert len(await desk.announced(SubmissionRepeated)) == 2
    assert await desk.rows("SELECT position, outcome FROM submission ORDER BY 1") == [
        (1, "accepted"),
        (2, "duplicate"),
        (3, "duplicate"),
    ]


async def test_other_content_under_the_same_number_is_a_conflict_and_never_an_overwrite(desk):
    await desk.give(desk.submit())
    await desk.give(desk.submit(desk.line(net=999), fingerprint="z" * 64))
    (told,) = await desk.announced(SubmissionConflicted)
    assert (told.reason, told.kind, told.document_id) == ("other_content", "order", desk.id())
    assert (await desk.view()).summary.net_minor == 300
    assert await desk.rows("SELECT amount_minor, currency FROM submission WHERE outcome = 'conflict'") == [
        (1038, "CNY")
    ]


async def test_the_same_number_of_another_company_or_satellite_is_another_order(desk):
    await desk.give(desk.submit(), desk.submit(company="C2", currency="EUR"), desk.submit(source="market"))
    assert len({placed.order_id for placed in await desk.announced(OrderPlaced)}) == 3
    assert (await desk.view(company="C2")).summary.currency == "EUR"


async def test_an_order_with_a_repeated_line_number_is_a_conflict_and_leaves_its_number_free(desk):
    await desk.give(desk.submit(desk.line(1), desk.line(1)))
    (told,) = await desk.announced(SubmissionConflicted)
    assert told.reason == "repeated_line"
    await desk.give(desk.submit(desk.line(1), desk.line(2), fingerprint="z" * 64))
    assert len(await desk.announced(OrderPlaced)) == 1


async def test_a_bad_copy_and_a_good_copy_in_one_batch_place_the_good_one(desk):
    await desk.give(desk.submit(desk.line(1), desk.line(1)), desk.submit(fingerprint="z" * 64))
    assert len(await desk.announced(OrderPlaced)) == 1
    assert await desk.rows("SELECT a.position = h.position FROM anchor a JOIN order_header h ON h.order_id = a.id") == [
        (True,)
    ]


async def test_a_document_too_large_for_any_book_is_buried_and_the_others_go_on(desk):
    huge = [desk.line(n, net=10**15, tax=10**15) for n in range(1, 600)]
    await desk.give(desk.submit(*huge), desk.submit(number="1002"))
    (letter,) = await desk.letters()
    assert (letter.reason, letter.field) == ("above_range", "lines")
    assert [placed.order_no for placed in await desk.announced(OrderPlaced)] == ["1002"]


async def test_a_free_order_is_a_sample(desk):
    await desk.give(desk.submit(desk.line(net=0, tax=0)))
    assert [placed.lines[0].cost_account for placed in await desk.announced(OrderPlaced)] == ["sample"]


async def test_two_replicas_that_get_the_same_orders_place_each_once(desk):
    documents = [desk.submit(number=str(n)) for n in range(200)]
    forth = [desk.message(document) for document in documents]
    again = [desk.message(document) for document in reversed(documents)]
    flow = desk.flows["order.submit.v1"]
    await asyncio.gather(
        flow(forth, desk.database), flow(again, desk.database), flow(list(reversed(forth)), desk.database)
    )
    assert len(await desk.announced(OrderPlaced)) == 200
    assert await desk.rows("SELECT outcome, count(*) FROM submission GROUP BY 1 ORDER BY 1") == [
        ("accepted", 200),
        ("duplicate", 200),
    ]


async def test_the_books_show_what_was_submitted_to_the_minor_unit(desk):
    await desk.give(desk.submit(), desk.submit(), desk.submit(fingerprint="z" * 64, number="1001"))
    assert await desk.rows("SELECT n, a, b FROM digest_delta WHERE book = 'submission'") == [(3, 9_000_000, 1017)]
    assert await desk.rows("SELECT n, a, b FROM digest_delta WHERE book = 'order_line'") == [(1, 3_000_000, 339)]
