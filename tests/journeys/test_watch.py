"""What stands still is known with its cause, and the doctor says what to do; `tieout bench watch` says how soon."""

import asyncio
import re

from tieout.contracts.watch import LIST_ALARMS, Alarms, AlarmsRequest
from tieout.devstack import doctor, endpoints, status
from tieout.devstack.calling import call
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import AMPLE


async def alarms(trade) -> dict[str, str]:
    found: Alarms = await call(trade.client, LIST_ALARMS, AlarmsRequest())
    return {alarm.about: alarm.cause for alarm in found.alarms}


async def test_a_service_that_hangs_and_one_that_is_gone_are_told_apart(trade):
    finance = trade.stack.running_processes()["finance"]
    finance.suspend()
    await trade.stack.stop_service("inventory")
    try:
        sale = trade.sale(AMPLE[0])
        await trade.shop("orders/create", shopify.order(sale))
        wanted = {"inventory-reserve-stock": "process_gone", "finance-note-orders": "hangs"}
        await trade.until(lambda: alarms(trade), lambda found: wanted.items() <= found.items())
        told = {check.name: check for check in await asyncio.to_thread(doctor.examine, trade.stack.folder)}
        assert (told["flows"].state, told["services"].state) == ("wrong", "wrong")
        assert "inventory-reserve-stock" in told["flows"].found
    finally:
        finance.resume()
        trade.stack.start_service("inventory")
    await trade.until(lambda: trade.vouchers(sale), bool)
    await trade.until(lambda: alarms(trade), lambda found: not found)
    assert (await trade.agreement()).verdict == "agree"


async def test_where_control_hangs_the_doctor_blames_neither_the_gateway_nor_the_servers(trade, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKUP_SECONDS_MAX", 1.0)
    monkeypatch.setattr(status, "STATUS_SECONDS_MAX", 1.0)
    control = trade.stack.running_processes()["control"]
    control.suspend()
    try:
        told = {check.name: check for check in await asyncio.to_thread(doctor.examine, trade.stack.folder)}
        found, failure = await asyncio.to_thread(status._ask, endpoints.of_stack(trade.stack.folder))
    finally:
        control.resume()
    states = {name: told[name].state for name in ("gateway", "control", "processes", "postgres", "hub")}
    assert states == {"gateway": "ok", "control": "wrong", "processes": "wrong", "postgres": "ok", "hub": "ok"}
    assert "Suspended (SIGSTOP): control." in told["processes"].found
    assert told["processes"].next_step == f"kill -CONT {control.pid}"
    assert found is None
    assert "The gateway lives, and control" in failure


async def test_a_service_that_is_killed_again_and_again_is_named_although_it_comes_back(trade):
    for _ in range(2):
        trade.stack.kill_service("order")
        await asyncio.sleep(0.3)
        await trade.until(lambda: trade.agreement(), lambda found: found.verdict == "agree")
    told = {check.name: check for check in await asyncio.to_thread(doctor.examine, trade.stack.folder)}
    assert told["restarts"].state == "wrong"
    # Other tests kill services of this stack as well.
    again = re.search(r"\border (\d+)", told["restarts"].found)
    assert again, told["restarts"].found
    assert int(again[1]) >= 2
