"""The independent checker finds what is planted, and says nothing where nothing is wrong."""

import json
from hashlib import md5, sha256

import pytest
from tieout.devstack.chaos.books import Books
from tieout.devstack.chaos.checker import Poison, Sent, judge

ONE = 1_000_000
BODY = b'{"kind":"order"}'
RAW = "00000000-0000-7000-8000-000000000010"
COMMAND = "00000000-0000-7000-8000-000000000011"
ORDER = "aaaaaaaa-0000-5000-8000-000000000001"


def sent(**more):
    return Sent(
        **{"satellite": "shop", "number": "1001", "body": BODY, "expected": (("order", "accepted"),)}
        | {"acknowledged": True, "intake_id": RAW, **more}
    )


def books():
    """One order of three pieces, shipped, billed and posted."""
    digest = md5(BODY, usedforsecurity=False).hexdigest()
    everywhere = {"unsent": [(0,)], "parked": [], "letters": [], "tamper": []}
    return {
        "gateway": {
            **everywhere,
            "raw": [(RAW, "shop", digest)],
            "command": [(1, COMMAND, "order", "EU", "shop", "1001", 3 * ONE, 357)],
        },
        "order": {
            **everywhere,
            "submission": [(1, COMMAND, "order", "shop", "EU", "1001", "accepted")],
            "header": [(7, ORDER, "EU", "shop", "1001", 300, 57)],
            "line": [(7, 1, "goods", 3 * ONE, 300, 57)],
            "shipped": [(9, 1, 7, 0, 3 * ONE, 300, 57, True, True)],
        },
        "inventory": {
            **everywhere,
            "placed": [(7, ORDER)],
            "demand": [(7, 1, 3 * ONE, 300, 57)],
            "move": [
                (8, 1, "opening", 1, 1, 5 * ONE, 50, None, None, None),
                (9, 1, "issue", 1, 2, -3 * ONE, -30, 0, 3 * ONE, 7),
            ],
            "stock": [(1, "EU", "MAIN", "A", "refuse", 2 * ONE, 0, 0, 20)],
        },
        "finance": {
            **everywhere,
            "known": [(ORDER, 300, 57)],
            "posted": [(8, 1, "opening", 5 * ONE, 50, 0, 0), (9, 1, "shipped", -3 * ONE, -30, 300, 57)],
            "shipment": [(9, 1)],
            "balance": [(4, 5, 5, 0, 0)],
            "numbers": [("EU", "记", "2026-01", 1, 1, 1, 1, 1)],
            "goods": [(20,)],
        },
        "control": {**everywhere, "dead": []},
    }


def rules(rows, documents=None, **more):
    return {one.rule for one in judge([sent()] if documents is None else documents, Books(rows), **more)}


def test_books_that_agree_break_no_rule():
    assert rules(books()) == set()


def change(service, question, change):
    def plant(rows):
        rows[service][question] = change(rows[service].get(question, []))

    return plant


PLANTED = {
    "acknowledged but not kept": change("gateway", "raw", lambda rows: []),
    "kept otherwise than sent": change("gateway", "raw", lambda rows: [(RAW, "shop", "0" * 32)]),
    "documents without a fate": change("gateway", "command", lambda rows: []),
    "documents with two fates": change("gateway", "refused", lambda rows: [(RAW,)]),
    "commands without an outcome": change("order", "submission", lambda rows: []),
    "commands with two outcomes": change("order", "submission", lambda rows: rows * 2),
    "outcomes other than planned": change("order", "submission", lambda rows: [(*rows[0][:-1], "conflict")]),
    "orders placed / known to finance": change("finance", "known", lambda rows: []),
    "order lines / demand": change("inventory", "demand", lambda rows: rows * 2),
    "shipped / noted by order": change("order", "shipped", lambda rows: []),
    "shipped lines of order / billed lines": change("finance", "posted", lambda rows: [*rows, rows[-1]]),
    "moves / stock postings": change("finance", "posted", lambda rows: [rows[0]]),
    "shipments billed twice": change("finance", "shipment", lambda rows: [(9, 2)]),
    "parts of a line that left twice": change("order", "shipped", lambda rows: [*rows, (10, *rows[0][1:])]),
    "order lines with a remainder": change("order", "line", lambda rows: [(7, 1, "goods", 4 * ONE, 300, 57)]),
    "stock balances other than their moves": change("inventory", "move", lambda rows: rows[:1]),
    "stock below its policy": change("inventory", "move", lambda rows: rows[::-1]),
    "more promised than there is": change(
        "inventory", "stock", lambda rows: [(1, "EU", "MAIN", "A", "refuse", 2 * ONE, 3 * ONE, 0, 20)]
    ),
    "vouchers that do not balance": change("finance", "balance", lambda rows: [(4, 5, 5, 1, 1)]),
    "vouchers without all their lines": change("finance", "balance", lambda rows: [(4, 4, 5, 0, 0)]),
    "voucher numbers with gaps": change("finance", "numbers", lambda rows: [("EU", "记", "2026-01", 1, 3, 2, 2, 3)]),
    "stock account other than stock postings": change("finance", "goods", lambda rows: [(21,)]),
    "order: events not published": change("order", "unsent", lambda rows: [(2,)]),
    "finance: rows touched by hand": change("finance", "tamper", lambda rows: [("voucher", "UPDATE")]),
    "order: messages that still wait": change("order", "parked", lambda rows: [("order-x", "id", "retry")]),
}


@pytest.mark.parametrize("rule", PLANTED)
def test_what_is_planted_is_found(rule):
    rows = books()
    PLANTED[rule](rows)
    assert rule in rules(rows)


def test_a_count_excuses_no_stock_below_zero_and_no_promise_without_goods():
    rows = books()
    opening, issue = rows["inventory"]["move"]
    rows["inventory"]["move"] = [opening, (10, 1, "count", 1, 2, -3 * ONE, -30, None, None, None), issue]
    assert "stock below its policy" in rules(rows)
    rows = books()
    rows["inventory"]["move"].append((10, 1, "count", 1, 3, -1 * ONE, -10, None, None, None))
    rows["inventory"]["stock"] = [(1, "EU", "MAIN", "A", "refuse", ONE, 2 * ONE, 0, 10)]
    assert "more promised than there is" in rules(rows)


def test_a_delivery_that_was_answered_and_is_kept_twice_counts_as_doubled():
    rows = books()
    rows["gateway"]["raw"].append((RAW.replace("10", "20"), *rows["gateway"]["raw"][0][1:]))
    found = judge([sent()], Books(rows))
    assert sum(one.doubled for one in found) >= 1


def letter(body, flow="order-place-orders", identity="l1"):
    told = {"id": identity, "flow": flow, "reason": "unreadable", "fingerprint": sha256(body).hexdigest()}
    return (1, json.dumps(told))


def test_a_dead_letter_of_a_good_message_is_a_loss_and_one_of_poison_is_not():
    rows = books()
    rows["order"]["letters"] = [letter(b"poison")]
    rows["control"]["dead"] = [("l1",)]
    assert "given up though nothing was wrong with it" in rules(rows)
    poison = [Poison((sha256(b"poison").hexdigest(),), ("order-place-orders",), "no JSON")]
    assert rules(rows, poison=poison) == set()
    rows["control"]["dead"] = []
    assert rules(rows, poison=poison) == {"dead letters that control does not know"}


def test_poison_that_nobody_gave_up_is_missed_unless_the_broker_lost_it():
    poison = [Poison((sha256(b"poison").hexdigest(),), ("order-place-orders",), "no JSON")]
    assert rules(books(), poison=poison) == {"poison that nobody gave up"}
    assert rules(books(), poison=poison, streams_lost=True) == set()


AGAIN = RAW.replace("10", "20")
COMMAND_AGAIN = AGAIN[:-1] + "1"


def restored(outcome="duplicate"):
    """The document's bytes were lost with the gateway's database and came again; its command stands under both."""
    rows = books()
    digest = rows["gateway"]["raw"][0][2]
    rows["gateway"]["raw"] = [(AGAIN, "shop", digest)]
    rows["gateway"]["command"].append((2, COMMAND_AGAIN, *rows["gateway"]["command"][0][2:]))
    rows["order"]["submission"].append((2, COMMAND_AGAIN, *rows["order"]["submission"][0][2:-1], outcome))
    return rows


def test_what_was_sent_again_to_a_restored_gateway_is_a_duplicate_and_nothing_else():
    again = [sent(again=AGAIN)]
    assert rules(restored(), again, sent_again=1) == set()
    assert rules(restored(), again) == {"outcomes other than planned"}
    assert "acknowledged but not kept" in rules(restored(), sent_again=1)
    assert rules(restored("conflict"), again, sent_again=1) == {"outcomes other than planned"}
    assert "order: a number accepted twice" in rules(restored("accepted"), again, sent_again=1)


def test_both_deliveries_are_not_kept_where_only_one_was_lost():
    rows = restored()
    rows["gateway"]["raw"].append((RAW, *rows["gateway"]["raw"][0][1:]))
    assert "one delivery kept more than once" in rules(rows, [sent(again=AGAIN)], sent_again=1)
