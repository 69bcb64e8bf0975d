"""What to tell of leaf sites whose own stream somebody deleted: what was sold there may be missing at its source."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tieout.contracts.watch import Check, LeafSite
from tieout.control.domain.verdicts import Pair

TOLD_FOR = timedelta(days=1)  # After it was made anew.


def troubled(sites: Iterable[LeafSite], now: datetime) -> tuple[LeafSite, ...]:
    return tuple(
        site
        for site in sites
        if site.state == "missing" or (site.remade_at and now - datetime.fromisoformat(site.remade_at) < TOLD_FOR)
    )


def with_sites(words: Pair, sites: Sequence[LeafSite]) -> Pair:
    """A verdict's sentence, and that sales of these may be missing: no book can have what never came."""
    if not sites:
        return words
    names = [site.site for site in sites]
    english = f"Sales of {', '.join(names)} may be missing: the stream that a store keeps them in was deleted there."
    chinese = f"{'、'.join(names)} 的销售可能缺失：门店保存销售的流已被删除。"
    return f"{words[0]} {english}", words[1] + chinese


def check(sites: Sequence[LeafSite], now: datetime) -> Check:
    found = troubled(sites, now)
    if not found:
        cut = [f"{site.site} (since {_moment(site.since)})" for site in sites if site.state == "away"]
        there = f"{len(sites) - len(cut)} of {len(sites)} leaf sites have the stream that they sell into."
        return Check("sites", "ok", f"{there} Cut off: {', '.join(cut)}." if cut else there)
    gone = any(site.state == "missing" for site in found)
    why = "What the hub had not copied when it was deleted is in no book. Without it no till of the store sells."
    step = f"What never came is found by the store's own list: ./tieout census {found[0].site} FILE"
    if gone:
        step = f"The site's launcher makes it anew within seconds; in a cluster: helm upgrade of its release. {step}"
    return Check("sites", "wrong" if gone else "look", "; ".join(map(_told, found)) + ".", why, step, "SiteStreamGone")


def _told(site: LeafSite) -> str:
    if site.state == "missing":
        told = f"{site.site} has had no stream of its own since {_moment(site.since)}"
    else:
        told = f"the stream of {site.site} was deleted, and made anew {_moment(site.remade_at)}"
    if site.lost_first:
        count = site.lost_last - site.lost_first + 1
        are = "message was" if count == 1 else "messages were"
        told += f"; {count} {are} lost with it ({site.lost_first} to {site.lost_last} of the one before)"
    if site.seen_at:
        return f"{told}; what was sold after {_moment(site.seen_at)} and not copied, nobody here has seen"
    return f"{told}; what it held that the hub had not copied, nobody here has seen"


def _moment(text: str) -> str:
    return f"{text[:19]}Z"
