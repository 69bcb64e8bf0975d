"""What is told of a store whose own stream somebody deleted."""

from datetime import UTC, datetime

from tieout.contracts.watch import LeafSite
from tieout.control.domain import sites

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WELL = LeafSite("store-1", "ok", "2026-11-01T08:00:00Z")
CUT = LeafSite("store-2", "away", "2026-11-23T09:00:00Z")
GONE = LeafSite("store-3", "missing", "2026-11-23T11:00:00Z", seen_at="2026-11-23T10:59:58Z")
REMADE = LeafSite("store-4", "ok", "2026-11-23T11:00:00Z", "2026-11-23T11:00:00Z", 6, 7, "2026-11-23T10:59:58Z")
CUT_SINCE = LeafSite("store-5", "away", "2026-11-23T11:30:00Z", "2026-11-23T11:00:00Z")


def test_a_store_that_is_cut_off_is_no_trouble_and_its_time_is_told():
    found = sites.check([WELL, CUT], NOW)
    assert found.state == "ok"
    assert "1 of 2" in found.found
    assert "store-2 (since 2026-11-23T09:00:00Z)" in found.found
    assert sites.with_sites(("All.", "全部。"), sites.troubled([WELL, CUT], NOW)) == ("All.", "全部。")


def test_one_whose_stream_is_gone_is_wrong_with_what_makes_it_anew():
    found = sites.check([WELL, GONE], NOW)
    assert found.state == "wrong"
    assert "store-3 has had no stream of its own since 2026-11-23T11:00:00Z" in found.found
    assert "sold after 2026-11-23T10:59:58Z" in found.found
    assert "./tieout census store-3 FILE" in found.next_step
    assert "helm upgrade" in found.next_step


def test_one_that_was_made_anew_is_told_for_a_day_with_what_was_lost():
    found = sites.check([REMADE, CUT_SINCE], NOW)
    assert found.state == "look"
    assert "2 messages were lost with it (6 to 7 of the one before)" in found.found
    assert "what it held that the hub had not copied, nobody here has seen" in found.found
    assert sites.troubled([REMADE, CUT_SINCE], NOW + sites.TOLD_FOR) == ()
    english, chinese = sites.with_sites(("All.", "全部。"), sites.troubled([REMADE, WELL], NOW))
    assert "Sales of store-4 may be missing" in english
    assert "store-4" in chinese
