"""What a clerk reads is there in Chinese too: nothing is shown past the catalogue, and no value is lost in it."""

import argparse
import ast
import io
import re
from datetime import UTC, date, datetime
from pathlib import Path
from string import Formatter
from typing import Any, Literal
from uuid import UUID

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from tieout.contracts.control import (
    Agreement,
    Difference,
    DifferenceSide,
    Journey,
    JourneyChoice,
    JourneyPaper,
    Journeys,
    JourneyStep,
)
from tieout.contracts.desk import CalendarYear, Desk, DeskHours, ServiceTeam, TicketDeadline
from tieout.contracts.finance import (
    PeriodStanding,
    Requests,
    RequestView,
    StandingCount,
    StandingCounts,
    StandingSum,
)
from tieout.contracts.operation import MoneyPaper, MoneyStanding
from tieout.contracts.ticket import Ticket, Tickets
from tieout.devstack import agreement, approvals, cli, desk, journey, languages, periods, quarantine, sentences, tickets
from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import CATALOGUES, said, speaking, told, told_count
from tieout.devstack.terminal import Screen

CATALOGUE = CATALOGUES / "zh.po"
CHINESE = re.compile("[\u4e00-\u9fff]")
AT = "2026-11-23T08:00:00Z"
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
SPOKEN = [command.module.rpartition(".")[2] for command in cli.COMMANDS if command.spoken]


def test_every_sentence_that_is_shown_has_its_chinese_and_no_other_stands_in_the_catalogue() -> None:
    catalogue = sentences.read(CATALOGUE)
    known = {(one.context, one.id if isinstance(one.id, str) else tuple(one.id)) for one in catalogue if one.id}
    needed = {(None, text) for text in sentences.shown()} | {(languages.SAID, text) for text in sentences.heard()}
    needed |= {(languages.HELP, text) for text in sentences.helps()}
    told_how = "`python -m tieout.devstack.sentences` enters what is new; then translate it"
    assert needed - known == set(), told_how
    assert known - needed == set(), told_how
    assert sentences.missing(catalogue) == []
    # One of each way to say it, so that a reader of code that has become blind fails.
    assert {"what must agree", "dead letter", ("{count} ticket", "{count} tickets")} <= sentences.shown()
    assert {"handed over", "short of {0}", "on its way", "voucher posted", "unknown sku"} <= sentences.heard()
    assert {"the intake id", "usage: ", "Stop the stack of this folder.", languages.__doc__} & sentences.helps() == {
        "the intake id",
        "usage: ",
        "Stop the stack of this folder.",
    }
    assert {"too late for {0}", "waits until its sale is billed", "a list is expected here"} <= sentences.heard()
    assert {"not yet posted", "reservation noted", "The order has no line {0}."} & sentences.heard()


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_a_translation_holds_the_values_of_its_sentence_and_is_chinese() -> None:
    for message in sentences.read(CATALOGUE):
        if not message.id:
            continue
        forms = sentences.strings(message.id)
        (translation,) = sentences.strings(message.string)
        assert fields(translation) == set().union(*map(fields, forms)), forms
        assert CHINESE.search(translation) or not sentences.has_words(forms[0]) or "PUT /" in translation, forms


PRINTS = {
    "print",
    "append",
    "add_column",
    "assemble",
    "write",
    "Text",
    "CommandFailed",
    "append_text",
    "Table",
    "input",
}
NO_WORDS = re.compile(r"(\[[a-z /]*\]|[^A-Za-z]|\b[A-Z]\b|sha256|UTC|docs/runbooks/|\.md)*")


@pytest.mark.parametrize("module", SPOKEN)
def test_nothing_is_printed_past_the_catalogue(module: str) -> None:
    """Words that are given to what prints, without `told` around them."""
    assert SPOKEN == ["journey", "agreement", "quarantine", "approvals", "periods", "tickets", "desk"]
    tree = ast.parse(Path(languages.__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    assert [text for call in ast.walk(tree) for text in untold(call)] == []


def untold(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call) or called(node) not in PRINTS:
        return []
    found = []
    for part in (*node.args, *(one.value for one in node.keywords if one.arg == "title")):
        found += words_in(part)
    return found


def words_in(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and not NO_WORDS.fullmatch(node.value) else []
    if isinstance(node, ast.Tuple):  # A text and its style.
        return words_in(node.elts[0])
    if isinstance(node, ast.Call | ast.Subscript | ast.Compare):
        return []  # What it is given is looked at by itself.
    if isinstance(node, ast.FormattedValue):
        return words_in(node.value)
    return [text for child in ast.iter_child_nodes(node) for text in words_in(child)]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_a_word_that_is_printed_past_the_catalogue_is_seen() -> None:
    call = ast.parse("console.print(Text(f'{n} rows', style='dim'), f'[red]{told(x)}[/]')", mode="eval")
    assert [text for one in ast.walk(call) for text in untold(one)] == [" rows"]


def options(language: str | None) -> argparse.Namespace:
    return argparse.Namespace(language=language)


def test_the_option_comes_before_the_environment_and_that_before_the_terminals_locale() -> None:
    locale = {"LC_ALL": "", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "de_DE.UTF-8"}
    assert languages.chosen(options("en"), {"TIEOUT_LANGUAGE": "zh", **locale}) == "en"
    assert languages.chosen(options(None), {"TIEOUT_LANGUAGE": "en", **locale}) == "en"
    assert languages.chosen(options(None), {"TIEOUT_LANGUAGE": "zh-CN"}) == "zh"
    assert languages.chosen(options(None), locale) == "zh"
    assert languages.chosen(options(None), {**locale, "LC_ALL": "C.UTF-8"}) == "en"
    assert languages.chosen(options(None), {"LANG": "zh_TW"}) == "zh"
    assert languages.chosen(options(None), {"LANG": "zhx_XX"}) == "en"
    assert languages.chosen(options(None), {}) == "en"
    with pytest.raises(CommandFailed, match="TIEOUT_LANGUAGE is 'fr', which is not spoken here: en, zh"):
        languages.chosen(options(None), {"TIEOUT_LANGUAGE": "fr"})


def test_the_option_stands_before_or_behind_an_action_and_only_where_people_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (["journey", " ", "--language", "zh"], ["journey", "--language", "zh", " "]):
        assert cli.main(words) == 1
        assert "请给出订单号" in capsys.readouterr().err
    for words in (["quarantine", "--language", "zh", "show", "x"], ["quarantine", "show", "x", "--language", "zh"]):
        assert cli.main(words) == 1
        assert "不是单据编号" in capsys.readouterr().err
    assert told("nothing") == "nothing"  # Nobody speaks Chinese after that.
    with pytest.raises(SystemExit):
        cli.main(["status", "--language", "zh"])


@pytest.mark.parametrize("words", [[], *([name] for name in SPOKEN), ["approvals", "ask"], ["tickets", "mute"]])
def test_help_is_in_the_readers_language_and_fits_the_terminal(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv(languages.VARIABLE, "zh")
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    told_ = capsys.readouterr().out
    assert ended.value.code == 0
    assert told_.startswith("用法：tieout")
    assert max(map(cell_len, told_.splitlines())) <= 80
    english = [line for line in told_.splitlines() if re.search("[a-z]{3,} [a-z]{3,} [a-z]{3,}", line)]
    assert [line for line in english if "tieout" not in line and not CHINESE.search(line)] == []
    with pytest.raises(SystemExit):
        cli.main(["approvals", "--language", "en", "--help"])
    assert capsys.readouterr().out.startswith("usage: tieout approvals")


def test_a_wrong_call_is_told_in_chinese(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(languages.VARIABLE, "zh")
    for words, complaint in {
        "periods close": "缺少：COMPANY (哪家公司)；YYYY-MM (月份，如 2026-10)；--why WHY (理由；留存于账簿)\n例如：",
        "tickets shw": "这里没有 'shw'，只有：list、show",
        "agreement --wait 99": "参数 --wait：'99' 不是等待时间：请给出 0 到 15 秒\n全部用法：",
        "agreement --limit": "参数 --limit：须给出一个值",
        "desk deadline 9 --minutes 3": "参数 priority：没有 9，可选：1, 2, 3, 4",
        "nope": "没有命令 'nope'\n命令：up, down",
    }.items():
        with pytest.raises(SystemExit):
            cli.main(words.split())
        assert complaint in capsys.readouterr().err
    with pytest.raises(SystemExit):  # Who chose a language that nobody speaks is told so in English.
        cli.main(["agreement", "--language", "fr"])
    assert "argument --language: invalid choice: 'fr'" in capsys.readouterr().err


def test_what_services_say_is_known_by_its_pattern_and_in_lists() -> None:
    assert said("short of A-1") == "short of A-1"
    with speaking("zh"):
        assert said("3 lines, 4 of them carriage or another service") == "3 行，其中 4 为运费或其他服务"
        assert said("short of A-1, A-2") == "缺货：A-1，A-2"
        assert said("3 lines with 1.5 of carriage or another service, stock value") == (
            "3 行，其中 1.5 为运费或其他服务，库存成本"
        )
        assert said("template T10, nothing of it for this order, also for W-1002, 1003") == (
            "模板 T10，与本订单无关，同时用于 W-1002，1003"
        )
        assert said("waits: not reserved yet") == "等待：尚未预留"
        assert said("other_content: Version 1 was accepted with other content than version 2.") == (
            "同号不同内容：已受理的版本 1 与版本 2 内容不同。"
        )
        assert said("a list of at least 1 entry is expected") == "须为列表（至少 1 项）"
        assert said("a whole number of at most 9 is expected") == "须为整数（至多 9）"
        assert said("S-1: Two lines have the same line number.") == "S-1：两行的行号相同。"
        assert said("unknown_sku") == "商品未知"
        assert said("the customer moved, call him") == "the customer moved, call him"  # A person's own words.
        assert said("no order, voucher or letter A of it") == "no order, voucher or letter A of it"  # Not by halves.
        assert said(
            "Order 7: settled by P1; A customer without an order: settled by P2. Nothing is left to claim."
        ) == ("订单 7：已由 P1 结清；未指明订单的客户：已由 P2 结清。已无应收回的款项。")
        assert said(
            "F1: Of order 1010 0.00 EUR came by then and 31.24 EUR went back. The refund is booked, and the difference "
            "is a claim on the customer: send the payment if it is missing, or claim the money back."
        ).startswith("F1：订单 1010 截至当时已收 0.00 EUR，已退 31.24 EUR。")
        assert said("There is no company C9.") == "没有公司 C9。"
        assert said("") == ""


def test_numbers_of_things_need_no_plural_in_chinese() -> None:
    counted = ("{count} order", "{count} orders")
    assert [told_count(*counted, count) for count in (1, 2000)] == ["1 order", "2,000 orders"]
    with speaking("zh"):
        assert [told_count(*counted, count) for count in (1, 2000)] == ["1 张订单", "2,000 张订单"]


def screen() -> tuple[io.StringIO, Screen]:
    text = io.StringIO()
    return text, Screen(file=text, width=80)


def test_a_journey_in_chinese() -> None:
    steps = (
        JourneyStep(0, "order", "placed", AT, document="1001", quantity_micro=2_000_000),
        JourneyStep(
            1, "finance", "billed", AT, after_ms=1500, cause_id="a", voucher_no="记-2026-11-000123", attempts=2,
            amount_minor=123450, currency="CNY", detail="template T01",
        ),
    )  # fmt: skip
    answer = Journeys((Journey("1001", "C1", "c", "", AT, AT, 125_000, steps),), unanswered=("gateway",))
    text, console = screen()
    with speaking("zh"):
        journey.render(answer, console)
    shown = " ".join(text.getvalue().split())
    assert "订单 1001 公司 C1" in shown
    assert "用时 2 分 5 秒" in shown
    assert "订单 已下单 1001 2 件" in shown
    assert "财务 已开票记账 凭证 记-2026-11-000123 1,234.50 CNY 间隔 1.5 秒 模板 T01 尝试 2 次" in shown.replace(
        "└── ", ""
    )
    assert "内容不完整：网关没有应答。" in shown


def test_money_and_what_has_no_order_in_chinese() -> None:
    papers = (MoneyPaper("payment", "P1", 33900, 40000),)
    money = MoneyStanding("CNY", 33900, 11300, 17600, 5000, 0, 22600, 11300, 50, papers=papers)
    of_nobody = MoneyStanding("JPY", 500, 0, 500, 0, 0, customer="K1")
    of_payment = Journey(
        "P1", "C1", "c", "", AT, AT, 0.0, (), papers=(JourneyPaper("payment", "P1"),), money=(money, of_nobody)
    )
    text, console = screen()
    with speaking("zh"):
        assert journey.heading(replace(of_payment, order_no="9999")) == "没有订单 9999 的记录；提及它的单据：收款 P1"
        assert journey.heading(replace(of_payment, papers=(JourneyPaper("credit", "G1"),) * 5)).endswith(
            "：贷项通知单 G1、贷项通知单 G1、贷项通知单 G1 等，另有 2 份"
        )
        journey.render(Journeys((of_payment,)), console)
        journey.render_choices("记-1", (JourneyChoice("C1", "1001"), JourneyChoice("C2", "7")), console)
    shown = " ".join(text.getvalue().split()).replace("│ ", "")
    assert shown.startswith("收款 P1（无对应订单） 公司 C1")
    assert "款项 已收 339.00 CNY = 已核销 113.00 + 暂存 176.00 + 已退 50.00；未收 0.00（" in shown
    assert "已红冲 113.00、无款结清 0.50" in shown
    assert "收款 P1 339.00 CNY（全额 400.00 CNY）" in shown
    assert "客户 K1 未指明订单的款项：已收 500 JPY = 已核销 0 + 暂存 500 + 已退 0" in shown
    assert "记-1 对应 2 家公司的 2 张订单或单据，请选择：" in shown


def test_months_in_chinese_with_commands_as_they_are() -> None:
    def month(period: str, state: Literal["open", "closed"], **more: Any) -> PeriodStanding:
        return PeriodStanding("C1", period, state, "Asia/Shanghai", date(2026, 11, 30), **more)

    found = (
        month("2026-09", "open", ended=True, counts=1, counts_unasked=1, missing_minor=7000, currency="CNY"),
        month("2026-10", "open", ended=True),
        month("2026-11", "open", ended=False),
    )
    text, console = screen()
    with speaking("zh"):
        answer = periods.Answer(periods.judged(found, {}), (periods.Obstacle("in_flight", "3 个事件在途"),))
        periods.render(answer, console, "http://gateway")
    lines = [line.strip() for line in text.getvalue().splitlines()]
    assert "C1 2026-09：1 张盘点单仍在 1901（盘亏 70.00 CNY）：1 张尚未提交审批：" in lines
    assert "C1 2026-10：2026-09 尚未结账，将一并结账：" in lines
    assert "C1 2026-11：该月最后一天为 2026-11-30 (Asia/Shanghai)。" in lines
    assert lines[-1] == "所有公司：3 个事件在途。"
    assert any(line.endswith("periods close C1 2026-09 --why WHY") for line in lines)


def test_an_agreement_in_chinese_keeps_its_columns() -> None:
    sides = (DifferenceSide("inventory", "move", True, 1_500_000), DifferenceSide("finance", "move", False))
    difference = Difference(
        4,
        "shipped",
        ("quantity_micro", ""),
        "edited_by_hand",
        "1001",
        "c",
        7,
        1,
        sides,
        why="by a hand",
        why_zh="手工修改过",
    )
    answer = Agreement("differ", "The books differ.", AT, 3, (), (), (difference,), sentence_zh="账簿不一致。")
    text, console = screen()
    with speaking("zh"):
        agreement.render(answer, console, explain=True)
    lines = text.getvalue().splitlines()
    heading = next(line for line in lines if "各账簿所载" in line)
    row = next(line for line in lines if "1001" in line)
    place = cell_len(heading[: heading.index("各账簿所载")])
    assert cell_len(row[: row.index("库存：数量 1.5")]) == place
    assert "财务：无" in text.getvalue()
    assert "手工修改过" in text.getvalue()
    assert lines[-1] == "✗ 账簿不一致。"
    assert max(map(cell_len, lines)) <= 80


def test_tickets_in_chinese_have_their_chinese_title_once() -> None:
    english, chinese = "Orders differ", "订单有冲突"
    ticket = Ticket(7, "conflict", "f", english, chinese, "open", 2, "books", 3, 1, AT, AT, AT, AT, orders=2)
    lines = (("zh", "   7  P2  未处理  订单有冲突  @books"), ("en", "   7  P2  open  Orders differ  @books"))
    for language, line in lines:
        text, console = screen()
        with speaking(language):
            tickets.render(Tickets((ticket,), 1, 0, 0, 1, 1), console)
        assert line in text.getvalue().splitlines()
        assert text.getvalue().count("订单有冲突") == 1


def test_a_reason_of_the_quarantine_is_told_in_words_with_the_code_to_choose_it_by() -> None:
    assert quarantine._reason("unknown_sku") == "unknown_sku"
    with speaking("zh"):
        assert quarantine._reason("unknown_sku") == "商品未知 (unknown_sku)"
        assert quarantine._reason("senders own") == "senders own"


def test_what_waits_for_an_approval_in_chinese() -> None:
    count = StandingCount("C1", "wms", "CNT-7", NOW.date(), NOW, "CNY", -7000)
    request = RequestView(
        UUID(int=7), "count", "C1", "CNT-8 of wms", "CNY", 1200, "recounted", "Wang", NOW, 2, (), "waiting"
    )
    counts = StandingCounts((count,), (StandingSum("CNY", 1, 7000, 0),))
    text, console = screen()
    with speaking("zh"):
        approvals.render(counts, Requests((request,), 1), console, NOW, "http://gateway")
    lines = [line.strip() for line in text.getvalue().splitlines()]
    assert "1 张盘点单仍在 1901：盘亏 70.00 CNY" in lines
    assert "C1  盘点单 CNT-7（来源 wms）  盘亏 70.00 CNY" in lines
    assert "1 项申请待审批" in lines
    assert "C1，Wang 于 0 毫秒 前申请：recounted（已批准 0，共需 2 人）" in lines
    with speaking("zh"):
        assert said("Wang has asked for it; somebody else must approve.") == "这是 Wang 申请的，须由他人批准。"
        assert said("There is no such request. See ./tieout approvals list --dir a (GET /v1/requests).").startswith(
            "没有这项申请。请看 ./tieout approvals list"
        )


def test_the_desk_in_chinese_and_english() -> None:
    note = "The holidays of 2027 are not published: weekdays are counted. Enter them as soon as they are announced: "
    found = Desk(
        (ServiceTeam("finance", "books"),),
        (TicketDeadline(1, 90, "wall"), TicketDeadline(2, 240, "working")),
        DeskHours("Asia/Shanghai", "09:00-12:00", "CN"),
        CalendarYear(2026, "company", ("2026-10-01",), ()),
        2026,
        f"{note}./tieout desk year 2027 --free … --worked …",
    )
    shown = {}
    for language in ("zh", "en"):
        text, console = screen()
        with speaking(language):
            desk.render(found, console)
        shown[language] = [line.strip() for line in text.getvalue().splitlines()]
    assert {"负责团队", "P1  1 小时 30 分钟（自然时间）", "P2  4 小时（工作时间）", "2026 (公司自定)"} <= set(
        shown["zh"]
    )
    assert any(line.startswith("2027 年的节假日尚未公布") for line in shown["zh"])
    assert {"teams", "P1  1 h 30 min by the wall clock", "P2  4 h of working hours"} <= set(shown["en"])
    assert {"free    10-01", "worked  weekdays only"} <= set(shown["en"])
