"""What goes to whom outside, in each vendor's own form, and what the answer means. Pure: the instant is an argument.

WeCom and DingTalk robots take 20 messages a minute, answer HTTP 200 whatever happens and say in `errcode` what did.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote_plus

import msgspec
from msgspec import Struct
from tieout.contracts.currency import EXPONENTS
from tieout.contracts.ticket import Money, Ticket

Kind = Literal["webhook", "wecom", "dingtalk"]
Language = Literal["en", "zh", "both"]

WECOM_BYTES_MAX = 4_096  # Of the markdown content, by the vendor's word.
DINGTALK_BYTES_MAX = 16_000  # The vendor takes 20,000 for the whole message.
ERROR_CHARACTERS_MAX = 300

WHAT = {
    "opened": ("NEW", "新工单"),
    "reopened": ("AGAIN", "再次发生"),
    "overdue": ("OVERDUE", "已超时"),
    "resolved": ("RESOLVED", "已解决"),
}
# What could steer a client: links, mentions, headings, emphasis. Details come from outside.
_HARMLESS = str.maketrans(
    {"<": "‹", ">": "›", "[": "［", "]": "］", "@": "＠", "`": "'", "*": "＊", "#": "＃", "\n": " "}
)


class Told(Struct, frozen=True):
    """One thing to tell: what became of a ticket."""

    id: int  # The same when it is sent again.
    what: str
    ticket: Ticket
    note: str = ""


class Target(Struct, frozen=True):
    name: str
    kind: Kind
    url: str  # A robot's holds its key: never logged, never in an error.
    secret: str = ""
    language: Language = "both"


class Post(Struct, frozen=True):
    url: str
    headers: dict[str, str]
    body: bytes


class Answer(Struct, frozen=True):
    accepted: bool
    error: str = ""  # For people; without secrets.


def compose(target: Target, told: Sequence[Told], message_id: str, now: datetime) -> Post:
    """One message for all of them."""
    match target.kind:
        case "webhook":
            return _webhook(target, told, message_id, now)
        case "wecom":
            content = _fitted(told, target.language, WECOM_BYTES_MAX)
            return _json(target.url, {"msgtype": "markdown", "markdown": {"content": content}})
        case "dingtalk":
            title = _heading(list({one.ticket.number: one for one in told}.values()), target.language).strip("*")
            text = _fitted(told, target.language, DINGTALK_BYTES_MAX, line_end="\n\n")
            content_ = {"msgtype": "markdown", "markdown": {"title": title, "text": text}}
            return _json(_signed(target, now), content_)


def webhook_signature(secret: str, timestamp: str, body: bytes) -> str:
    """sha256=<hex>: HMAC-SHA256 over "<timestamp>.<body>", so that an old message cannot be sent as a new one."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def _webhook(target: Target, told: Sequence[Told], message_id: str, now: datetime) -> Post:
    body = msgspec.json.encode({"id": message_id, "notifications": list(told)})
    headers = {"Content-Type": "application/json", "X-Tieout-Delivery": message_id}
    if target.secret:
        timestamp = str(int(now.timestamp()))
        headers["X-Tieout-Timestamp"] = timestamp
        headers["X-Tieout-Signature"] = webhook_signature(target.secret, timestamp, body)
    return Post(target.url, headers, body)


def _signed(target: Target, now: datetime) -> str:
    """DingTalk: sign = urlencode(base64(hmac_sha256(secret, "<ms>\\n<secret>"))). A robot may go without a secret."""
    if not target.secret:
        return target.url
    milliseconds = round(now.timestamp() * 1000)
    digest = hmac.new(target.secret.encode(), f"{milliseconds}\n{target.secret}".encode(), hashlib.sha256).digest()
    separator = "&" if "?" in target.url else "?"
    return f"{target.url}{separator}timestamp={milliseconds}&sign={quote_plus(base64.b64encode(digest))}"


def _json(url: str, content: dict[str, Any]) -> Post:
    return Post(url, {"Content-Type": "application/json"}, msgspec.json.encode(content))


def _heading(told: Sequence[Told], language: Language) -> str:
    urgent = min(one.ticket.priority for one in told)
    english = f"Tieout: {len(told)} ticket{'s' if len(told) > 1 else ''}, P{urgent}"
    chinese = f"对账通知：{len(told)} 个工单，最高 P{urgent}"
    return f"**{ {'en': english, 'zh': chinese, 'both': f'{chinese} / {english}'}[language] }**"


def _fitted(told: Sequence[Told], language: Language, bytes_max: int, line_end: str = "\n") -> str:
    """The heading and a line for each ticket, the most urgent first; what does not fit is counted."""
    latest = list({one.ticket.number: one for one in told}.values())
    text = _heading(latest, language)
    ordered = sorted(latest, key=lambda one: (one.ticket.priority, one.ticket.number))
    for place, one in enumerate(ordered):
        line = line_end + _line(one, language)
        left = len(ordered) - place
        more = f"{line_end}+ {left} …"
        room = bytes_max - len(text.encode()) - (len(more.encode()) if left > 1 else 0)
        if len(line.encode()) > room:
            return text + more
        text += line
    return text


def _line(one: Told, language: Language) -> str:
    ticket = one.ticket
    english, chinese = WHAT.get(one.what, (one.what.upper(), one.what))
    mark = {"en": english, "zh": chinese, "both": f"{chinese} {english}"}[language]
    titles = {"en": ticket.title_en, "zh": ticket.title_zh, "both": f"{ticket.title_zh} / {ticket.title_en}"}[language]
    parts = [f"P{ticket.priority} {mark} {ticket.number}: {titles.translate(_HARMLESS)}"]
    if ticket.orders:
        orders = {"en": f"{ticket.orders} orders", "zh": f"{ticket.orders} 个订单"}
        parts.append(orders.get(language, f"{orders['zh']} / {orders['en']}"))
    parts += [amount(money) for money in ticket.money[:3]]
    if one.what != "resolved":
        parts.append(f"{ticket.assignee or ticket.owner} ≤ {ticket.due_at[:16]}Z".translate(_HARMLESS))
    return " · ".join(parts)


def amount(money: Money) -> str:
    """CNY 1,234.50"""
    places = EXPONENTS.get(money.currency, 2)
    whole, part = divmod(abs(money.amount_minor), 10**places)
    sign = "-" if money.amount_minor < 0 else ""
    return f"{money.currency} {sign}{whole:,}" + (f".{part:0{places}}" if places else "")


def verdict(kind: Kind, status: int, body: bytes) -> Answer:
    """What the answer says: HTTP alone for a webhook; for robots also `errcode`, which must be 0."""
    if not 200 <= status < 300:
        return Answer(accepted=False, error=f"HTTP {status}")
    if kind == "webhook":
        return Answer(accepted=True)
    try:
        told = msgspec.json.decode(body, type=_Errcode)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Answer(accepted=False, error="HTTP 200, but the answer has no errcode: is this the robot's address?")
    if told.errcode:
        return Answer(accepted=False, error=f"errcode {told.errcode}: {told.errmsg}"[:ERROR_CHARACTERS_MAX])
    return Answer(accepted=True)


class _Errcode(Struct):
    errcode: int
    errmsg: str = ""
