"""Whatever reason a service gives for a dead letter or a conflict, its ticket says it in English and in Chinese."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tieout.contracts.order import SubmissionConflicted
from tieout.control.domain.facts import openings
from tieout.control.domain.reasons import REASONS

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(_[a-z]+)+")
OUTCOMES = ("conflict", "above_received")  # In a call the reason stands behind them.


def said_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            told = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
            if name == "Conflict":
                yield told[0]
            for before, after in itertools.pairwise(told):
                if before in OUTCOMES and CODE.fullmatch(str(after)):
                    yield after
            for keyword in node.keywords:
                reasoned = keyword.arg == "refusal" or (keyword.arg == "reason" and name == "bury")
                if reasoned and isinstance(keyword.value, ast.Constant):
                    yield keyword.value.value
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:  # (reason, sentence)
            code, sentence = node.elts
            whole = isinstance(sentence, ast.JoinedStr) or (
                isinstance(sentence, ast.Constant) and " " in str(sentence.value)
            )
            if isinstance(code, ast.Constant) and whole and CODE.fullmatch(str(code.value)):
                yield code.value


def said() -> set[str]:
    found: set[str] = set()
    for service in ("order", "inventory", "finance"):
        for file in (ROOT / "services" / service / "src").rglob("*.py"):
            found.update(filter(None, said_in(ast.parse(file.read_text(encoding="utf-8")))))
    return found


def test_every_reason_that_a_service_gives_has_words_in_both_languages() -> None:
    found = said()
    # One of each way to say it, so that a test that has become blind fails.
    assert found >= {
        "other_content",
        "above_billed",
        "above_on_hand",
        "above_reserved",
        "repeated_line",
        "broken_order",
    }
    assert found >= {"passed_at_issue", "impossible_amounts", "above_received"}
    assert sorted(found - set(REASONS)) == []
    for english, chinese in REASONS.values():
        assert "_" not in english + chinese
        assert re.search("[\u4e00-\u9fff]", chinese)


@pytest.mark.parametrize("reason", sorted({*REASONS, ""}))
def test_no_title_of_a_conflict_holds_a_code(reason: str) -> None:
    fact = SubmissionConflicted("i", "d", "C1", "till", "C-1", "credit", reason, "")  # type: ignore[arg-type]
    (opening,) = openings([("order", fact)])
    assert "_" not in opening.title_en + opening.title_zh
