"""A month is valued at its weighted average (月末一次加权平均) and closed; the books agree before and after."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import msgspec
from tieout.contracts import inventory as stock
from tieout.contracts.finance import (
    CLOSE_PERIOD,
    PUT_COMPANY,
    REQUEST_COUNT_APPROVAL,
    TRIAL_BALANCE,
    VOUCHERS,
    ClosePeriod,
    ListVouchers,
    PutCompany,
    RequestCountApproval,
    TrialBalanceRequest,
)
from tieout.contracts.gateway import PutSatellite
from tieout.contracts.period import PERIOD_AGREEMENT, PeriodAgreementRequest
from tieout.devstack import establish
from tieout.devstack.calling import call
from tieout.devstack.cli import main
from tieout.devstack.satellites import key_headers
from tieout.devstack.trading_day import canonical
from tieout.devstack.trading_day.catalogue import MICRO, Article, Company
from tieout.devstack.trading_day.sales import Sale, sold_line

HOUSE = Company("AVG", "Averaging Tea Ltd", "CNY", "Asia/Shanghai", 13, "avg-office")
POT, DEAR_POT = Article("POT", "Pot", 4990, 1000), Article("POT", "Pot", 4990, 2000)


class Month:
    """The last month of a company of its own, document by document."""

    def __init__(self, trade, key):
        self.trade, self.key, self.moves = trade, key, 0
        this = datetime.now(UTC).replace(day=1, hour=4)
        self.at, self.next_at = this - timedelta(days=3), this
        self.period, self.next_period = f"{self.at:%Y-%m}", f"{this:%Y-%m}"

    async def give(self, body):
        """Hand it over, and wait until it has moved the stock: the order of documents decides provisional costs."""
        headers = key_headers(self.key, f"avg-{self.moves}", "application/x-ndjson")
        await self.trade.door.send(HOUSE.satellite, "tieout", msgspec.json.encode(body), headers)
        self.moves += 1
        await self.until_moved(self.moves)

    async def until_moved(self, moves):
        self.moves = moves
        await self.trade.until(self.shelf, lambda found: found is not None and found.moves == moves)

    async def shelf(self):
        page = await call(self.trade.client, stock.STOCK, stock.ListStock(HOUSE.code))
        return page.stock[0] if page.stock else None

    async def receive(self, number, article, pieces, at):
        await self.give(canonical.receipt(HOUSE, number, at, "MAIN", "purchase", [(article, pieces * MICRO)]))

    async def sell(self, number, pieces, at):
        line = sold_line(HOUSE, 1, POT, pieces * MICRO, "MAIN")
        await self.give(canonical.order(Sale(HOUSE, number, 0, 7, at, (line,))))

    async def value(self, period):
        return await call(self.trade.client, stock.VALUE_PERIOD, stock.ValuePeriod(HOUSE.code, period))

    async def turnovers(self, period):
        """By account: debits, credits of this period and the balance at its end."""
        asked = TrialBalanceRequest(HOUSE.code, period, period)
        balance = await call(self.trade.client, TRIAL_BALANCE, asked)
        return {line.account: (line.debit_minor, line.credit_minor, line.closing_minor) for line in balance.lines}


async def test_a_month_is_valued_at_its_average_and_closed(trade, capsys):
    client = trade.client
    opened = PutCompany(company=HOUSE.code, name=HOUSE.name, currency=HOUSE.currency, zone=HOUSE.zone)
    await call(client, PUT_COMPANY, opened)
    await call(client, stock.PUT_WAREHOUSE, stock.PutWarehouse(HOUSE.code, "MAIN", method="period_average"))
    await establish.list_articles(client, HOUSE.code, [stock.Article(POT.sku, POT.name)])

    async def months():
        capsys.readouterr()
        words = ["periods", "--company", HOUSE.code, "--json", "--dir", str(trade.stack.folder)]
        assert await asyncio.to_thread(main, words) == 0
        return json.loads(capsys.readouterr().out)["months"]

    month = Month(trade, await establish.admit(client, PutSatellite(HOUSE.satellite, "Office", (HOUSE.code,))))
    await establish.wait_until_learned(client)

    await month.receive("R1", POT, 10, month.at)
    await month.sell("AVG-1", 5, month.at)  # 5 at 10.00, provisional.
    await month.receive("R2", DEAR_POT, 10, month.at)
    await month.sell("AVG-2", 3, month.next_at)  # Of the month after; it leaves before the month is valued.
    await trade.until(lambda: month.turnovers(month.period), lambda found: found["6401"][2] == 5_000)

    valued = await month.value(month.period)  # 30,000 for 20: the five cost 7,500.
    assert (valued.revalued, valued.value_minor) == (1, -2_500)
    month.moves += 1
    assert (await month.value(month.period)).revalued == 0
    await trade.until(lambda: month.turnovers(month.period), lambda found: found["6401"][2] == 7_500)
    assert (await month.turnovers(month.period))["1405"] == (30_000, 7_500, 22_500)

    last, this = await months()
    assert (last["standing"]["state"], last["standing"]["ended"], last["obstacles"]) == ("open", True, [])
    assert [one["code"] for one in this["obstacles"]] == ["not_ended"]
    closed = await call(client, CLOSE_PERIOD, ClosePeriod(HOUSE.code, month.period, "all papers are in"))
    last, this = await months()
    assert (last["standing"]["state"], last["standing"]["reason"]) == ("closed", "all papers are in")
    assert (closed.first_open, bool(closed.closed_by)) == (month.next_period, True)
    await establish.wait_until_learned(client)
    await month.receive("R3", DEAR_POT, 5, month.at)  # Too late for the month that it names.
    assert (await trade.agreement()).verdict == "agree"
    asked = PeriodAgreementRequest(month.period, HOUSE.code)
    beside = await call(client, PERIOD_AGREEMENT, asked)
    (stock_value, counted) = beside.figures
    assert (stock_value.happened_minor, stock_value.posted_minor, stock_value.unexplained_minor) == (32_500, 22_500, 0)
    assert counted.happened_minor == counted.posted_minor == 0
    (late,) = beside.differences
    assert (beside.verdict, late.cause, late.document_no, late.amount_minor) == (
        "open",
        "period_deferred",
        "R3",
        10_000,
    )
    assert f"R3 belongs to {month.period}, which was closed: posted in {month.next_period} as" in late.why
    into = await call(client, PERIOD_AGREEMENT, PeriodAgreementRequest(month.next_period, HOUSE.code))
    assert [(one.cause, one.amount_minor) for one in into.differences] == [("period_deferred", -10_000)]

    valued = await month.value(month.next_period)  # 15 of 22,500 and 5 of 10,000: 1,625 each.
    month.moves += valued.revalued  # A wait for N1 that counted one too few was over before N1 came, or never.
    shelf = await month.shelf()
    assert (shelf.on_hand_micro, shelf.value_minor) == (17 * MICRO, 17 * 1_625)
    await trade.until(lambda: month.turnovers(month.next_period), lambda found: found["1405"][2] == shelf.value_minor)
    assert (await month.turnovers(month.period))["1405"] == (30_000, 7_500, 22_500)  # As it was closed.
    vouchers = (await call(client, VOUCHERS, ListVouchers(HOUSE.code))).vouchers
    assert [one.period for one in vouchers if one.template == "T18r"] == [month.next_period, month.period]

    await month.give(canonical.adjustment(HOUSE, "N1", month.next_at, "MAIN", POT, -MICRO))
    asked = PeriodAgreementRequest(month.next_period, HOUSE.code)
    counted = await trade.until(
        lambda: call(client, PERIOD_AGREEMENT, asked), lambda found: found.figures[1].happened_minor == -1_625
    )
    assert counted.figures[1].posted_minor == counted.figures[1].unexplained_minor == 0
    (count,) = [one for one in counted.differences if one.cause == "waiting_approval"]
    assert (count.document_no, count.amount_minor) == ("N1", -1_625)
    assert count.why == "count N1 stands on 1901: nobody has asked for its approval"
    request = RequestCountApproval(
        company=HOUSE.code, source=HOUSE.satellite, number="N1", cause="management", reason="counted twice"
    )
    await call(client, REQUEST_COUNT_APPROVAL, request)
    counted = await call(client, PERIOD_AGREEMENT, asked)
    (count,) = [one for one in counted.differences if one.cause == "waiting_approval"]
    assert count.why.endswith("1 more must give it")
    assert counted.verdict == "open"
    assert (await trade.agreement()).verdict == "agree"
