import ast
import asyncio
import contextlib
import fcntl
import http.server
import importlib
import re
import shlex
import socket
import threading
from pathlib import Path

import httpx
import pytest
from tieout.contracts.operation import Operation
from tieout.devstack import demo, hints, jaeger, processes, sentences, silent, status, up
from tieout.devstack.cli import COMMANDS, main
from tieout.devstack.endpoints import DatabaseEndpoint, Endpoints, NatsEndpoint
from tieout.devstack.failures import CommandFailed
from tieout.devstack.stack_folder import StackFolder
from tieout.devstack.suite import Stack
from tieout.devstack.usage import EXAMPLES, Parser


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {command.name} " in shown for command in COMMANDS)


def test_a_companys_name_is_one_part_of_the_path_whatever_is_in_it(tmp_path, capsys):
    asked = []

    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            """The test's own output stays readable."""

    (tmp_path / "token").write_text("t")
    (tmp_path / "token").chmod(0o600)
    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        answering = threading.Thread(target=gateway.serve_forever)
        answering.start()
        there = ["--url", f"http://127.0.0.1:{gateway.server_port}", "--token-file", str(tmp_path / "token")]
        words = ["--company", "C 1/?x", "--number", "7", "--cause", "person", "--reason", "lost"]
        try:
            assert main(["approvals", "ask", *words, *there]) == 1
        finally:
            gateway.shutdown()
            answering.join()
    assert asked == ["/v1/companies/C%201%2F%3Fx/count-approvals"]


def wrong_usage(words, capsys):
    """What a wrong call is told, line by line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_an_unknown_command_is_told_with_those_that_exist(capsys):
    first, *_, last = told = wrong_usage(["lauch"], capsys)
    assert "there is no command 'lauch'" in first
    assert all(command.name in "\n".join(told) for command in COMMANDS)
    assert max(map(len, told[1:-1])) <= 80
    assert last.endswith("tieout --help")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("statsu", "status"), ("Doctor", "doctor"), ("order", "journey"), ("stop", "down"), ("tickts", "tickets")],
)
def test_what_is_nearly_a_command_is_told_with_the_one_that_is_meant(typed, meant, capsys):
    first, *_ = wrong_usage([typed], capsys)
    assert "Did you mean: " in first
    assert f"tieout {meant}" in first


def test_an_option_before_the_command_is_told_where_it_belongs(capsys):
    assert "the command comes first" in wrong_usage(["--dir", "x", "status"], capsys)[0]


def test_the_program_alone_ends_with_a_next_step(capsys):
    assert main([]) == 2
    told = capsys.readouterr().out
    assert "tieout demo" in told[told.index("A good first") :]


@pytest.mark.parametrize(
    ("words", "missing", "example"),
    [
        (["feed"], ["--format F", "FILE (files to send"], "feed --format uci-online-retail FILE.csv.gz"),
        (["feed", "--format", "uci-online-retail"], ["FILE (files to send"], "FILE.csv.gz"),
        (["quarantine", "correct", "x"], ["--file FILE (the corrected"], "quarantine correct INTAKE_ID --file"),
        (["journey"], ["NUMBER (of the order"], "journey 1001"),
        (["census"], ["SATELLITE", "SOURCE"], "census web orders.csv"),
        (["recover"], ["SERVICE"], "recover inventory"),
        (["repair"], ["WHAT (preview, run, list)"], "repair preview"),
        (["tickets", "ack"], ["NUMBER"], "tickets ack NUMBER"),
    ],
)
def test_what_is_missing_is_named_and_an_example_follows(words, missing, example, capsys):
    first, second, *_ = wrong_usage(words, capsys)
    assert all(one in first for one in missing)
    assert second.startswith("for example: ")
    assert example in second


def test_an_unknown_action_or_option_is_told_with_the_one_that_is_meant(capsys):
    assert "Did you mean show?" in wrong_usage(["quarantine", "sho"], capsys)[0]
    assert "Did you mean --json?" in wrong_usage(["status", "--jsn"], capsys)[0]
    assert "--reason=x comes after an action: list, resubmit" in wrong_usage(["quarantine", "--reason=x"], capsys)[0]


SAID = [
    ["replay", "run", "3", "--why"],
    ["repair", "run", "--reason"],
    ["tickets", "mute", "12", "--for", "8h", "--reason"],
    ["quarantine", "dismiss", "x", "--note"],
    ["approvals", "ask", "--company", "C1", "--number", "7", "--cause", "person", "--reason"],
    ["periods", "close", "C1", "2026-10", "--why"],
    ["give-up", "finance-bill-shipments", "--reason"],
]


@pytest.mark.parametrize("words", SAID, ids=lambda words: words[0])
def test_who_has_to_say_why_is_told_the_same_whatever_the_command(words, capsys):
    for given, told in ((" ", "say why in a few words"), ("x" * 2001, "at most 2,000 characters; these are 2,001")):
        first, *_ = wrong_usage([*words, given], capsys)
        assert f"argument {words[-1]}: " in first
        assert told in first


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_names_a_command_that_takes_it(name):
    """Parsed as it stands; placeholders are texts, and numbers are numbers."""
    words = shlex.split(EXAMPLES[name])
    module = importlib.import_module(next(one.module for one in COMMANDS if one.name == words[0]))
    parser = Parser(prog=f"tieout {words[0]}")
    module.add_arguments(parser)
    parser.parse_args(words[1:])


@pytest.mark.parametrize("period", ["2026-13", "2026", "11/2026", "2026-1", "2026-11-23"])
def test_a_period_that_is_none_is_told_in_words(period, capsys):
    told = "\n".join(wrong_usage(["agreement", "--company", "C1", "--period", period], capsys))
    assert f"{period!r} is no period: give a month as year and month, 2026-10" in told
    assert "\\d" not in told


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"tieout {name}" in capsys.readouterr().out


def actions_of(parser):
    return [one for entry in parser._actions for one in (getattr(entry, "choices", None) or ())]


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_help_fits_80_columns_and_keeps_every_line_that_somebody_types(name, capsys, monkeypatch):
    """ruff format dedents a docstring whose lines are all indented: then the lines of a synopsis would run together."""
    monkeypatch.setenv("COLUMNS", "80")
    module = importlib.import_module(next(one.module for one in COMMANDS if one.name == name))
    parser = Parser(prog=f"tieout {name}")
    module.add_arguments(parser)
    actions = [] if name == "test" else [one for one in actions_of(parser) if isinstance(one, str) and one.isalpha()]
    told = ""
    for words in ([], *([action] for action in actions)):
        with contextlib.suppress(SystemExit):
            main([name, *words, "--help"])
        told += capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    typed = re.findall(r"^ *tieout .*?(?=  |$)", module.__doc__, re.MULTILINE)
    assert all(line.startswith("    ") for line in typed)
    shown = [line.rstrip() for line in told.splitlines()]
    assert [line for line in typed if not any(one.startswith(line) for one in shown)] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_that_is_too_long_for_the_terminal_goes_on_as_a_shell_wants_it(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])
    shown = capsys.readouterr().out
    shown = shown[shown.rindex("for example: ") :] if "for example: " in shown else ""
    if shown:  # `feed` has another epilog, and tells its example when something is missing.
        assert shlex.split(shown.replace("\\\n", ""))[-len(shlex.split(EXAMPLES[name])) :] == shlex.split(
            EXAMPLES[name]
        )


@pytest.mark.parametrize(
    "command", [["status"], ["journey", "1001"], ["agreement"], ["quarantine"], ["quarantine", "list"]]
)
def test_a_command_without_a_stack_says_how_to_start_one(command, tmp_path, capsys):
    assert main([*command, "--dir", str(tmp_path)]) == 1
    assert "./tieout up" in capsys.readouterr().err


def test_a_seed_that_is_no_number_is_told_in_a_sentence(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--seed", "x"])
    assert "'x' is no seed: give a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("detach", [[], ["--detach"]])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--replicas", "foo=2"], "no such service: foo"),
        (["--otlp", "127.0.0.1:4317"], "is no address of a collector"),
        (["--otlp", "ftp://127.0.0.1:4317"], "is no address of a collector"),
        (["--otlp", "http://127.0.0.1"], "names no port"),
        (["--jaeger", "/nowhere/jaeger"], "is no program"),
    ],
)
def test_arguments_that_are_refused_leave_nothing_behind(wrong, told, detach, tmp_path, capsys):
    folder = tmp_path / "stack"
    assert main(["up", *wrong, *detach, "--dir", str(folder)]) == 1
    assert told in capsys.readouterr().err
    assert not folder.exists()


def test_a_port_that_is_taken_leaves_nothing_behind(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["up", "--detach", "--port", port, "--dir", str(tmp_path / "stack")]) == 1
    assert "is in use" in capsys.readouterr().err
    assert not (tmp_path / "stack").exists()


def test_what_is_wrong_with_the_arguments_is_told_before_anything_is_forgotten(tmp_path, capsys):
    (tmp_path / "lock").touch()
    assert main(["up", "--fresh", "--replicas", "foo=2", "--dir", str(tmp_path)]) == 1
    assert (tmp_path / "lock").exists()


def test_a_collector_that_does_not_answer_is_told_by_whoever_named_it():
    variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # And does not listen.
        where = f"http://127.0.0.1:{bound.getsockname()[1]}"
        (told,) = jaeger.unanswered("", {variable: where})
        assert f"at {where} (connection refused)" in told
        assert f"leave {variable} out" in told
        bound.listen()
        assert jaeger.unanswered(where, {}) == []
    with pytest.raises(CommandFailed, match=variable):
        jaeger.unanswered("", {variable: "collector:4317"})


@pytest.mark.parametrize("answers", ["nothing listens", "the database is away"])
def test_a_status_that_nobody_can_tell_says_so_and_the_next_step(answers, tmp_path):
    def reply(request):
        if answers == "nothing listens":
            raise httpx.ConnectError("[Errno 111] Connection refused")
        return httpx.Response(503, json={"detail": "The service control does not answer."}, request=request)

    class Where:
        gateway = "http://127.0.0.1:1"

        def client(self, timeout):
            return httpx.Client(base_url=self.gateway, transport=httpx.MockTransport(reply), timeout=timeout)

    found, told = status._ask(Where())
    assert found is None
    assert "mozilla" not in told
    assert "Errno" not in told
    assert ("logs gateway" if answers == "nothing listens" else "control does not answer") in told
    assert ("up --detach" if answers == "nothing listens" else "doctor") in told


def test_hints_fit_the_stack_that_they_speak_of(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "a stack"
    assert main(["status", "--dir", str(folder)]) == 1
    assert f"up --dir '{folder}'" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 1
    told = capsys.readouterr().err
    assert "--dir " not in told.partition(", or")[0]
    assert "./tieout" not in told  # From another folder the checkout's command is told with its path.
    hints.about(folder)
    told = hints.fitted("Decided: ./tieout quarantine show 01a2081c-337b-76b9-9ec1-0739a6000000")
    assert told.endswith(f"quarantine show 01a2081c-337b-76b9-9ec1-0739a6000000 --dir '{folder}'")
    assert hints.fitted("See ./tieout quarantine list").endswith(f"tieout quarantine list --dir '{folder}'")


def test_the_version_tells_the_commit_too(capsys):
    assert main(["--version"]) == 0
    told = capsys.readouterr().out
    assert re.fullmatch(r"tieout \d+\.\d+\.\d+( \(git [0-9a-f]{7,}(, changed)?\))?\n", told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "no-such", "x"], "There is no format 'no-such'"),
        (["--format", "tieout-ndjson", "missing.ndjson"], "missing.ndjson does not exist"),
        (["--format", "tieout-ndjson", "empty.ndjson"], "there are no documents in empty.ndjson"),
        (["--format", "uci-online-retail", "one.ndjson"], "the first line must be InvoiceNo"),
        (["--format", "uci-online-retail", "missing.csv"], "missing.csv does not exist. The data is public, https://"),
        (["--format", "tieout-ndjson", "one.ndjson"], "no stack runs in"),
    ],
)
def test_a_feed_that_cannot_begin_says_why(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.ndjson").write_text("\n")
    Path("one.ndjson").write_text('{"kind": "order"}\n')
    assert main(["feed", *words]) == 1
    assert told in capsys.readouterr().err


def test_where_no_stack_runs_it_is_told_what_is_there_instead(tmp_path, capsys):
    day, stopped = tmp_path / "kept" / "demo", tmp_path / "stopped"
    for folder in (day, stopped):
        (folder / "postgres").mkdir(parents=True)

    def told(folder):
        assert main(["agreement", "--dir", str(folder)]) == 1
        return capsys.readouterr().err

    assert "what it has stored is kept. Start it" in told(stopped)
    assert f"a demo's day is kept in {day}" in told(day.parent)
    assert f"up --dir {day}" in told(day.parent)
    assert "there is no such folder" in told(tmp_path / "mistyped")
    assert "there is no such folder" not in told(tmp_path)


def test_the_folder_may_stand_before_the_action_or_after_it(tmp_path, capsys):
    for words in (["quarantine", "--dir", str(tmp_path), "list"], ["quarantine", "list", "--dir", str(tmp_path)]):
        assert main(words) == 1
        assert f"no stack runs in {tmp_path}" in capsys.readouterr().err


ACTIONS = [
    ["quarantine", "list"],
    ["quarantine", "show", "x"],
    ["approvals", "list"],
    ["approvals", "reject", "x"],
    ["tickets", "list"],
    ["tickets", "ack", "3"],
    ["desk", "show"],
    ["desk", "deadline", "2", "--minutes", "5"],
    ["periods", "list"],
    ["periods", "reopen", "C1", "2026-10", "--why", "invoice 7"],
    ["replay", "list"],
    ["replay", "show", "3"],
    ["token", "list"],
    ["repair", "list"],
]


@pytest.mark.parametrize("words", ACTIONS, ids=" ".join)
def test_what_every_action_takes_may_stand_before_it_or_after_it(words, tmp_path, monkeypatch):
    command = next(one for one in COMMANDS if one.name == words[0])
    given = ["--json", "--dir", str(tmp_path)]
    if command.spoken:
        given += ["--language", "zh"]
    taken = []
    monkeypatch.setattr(importlib.import_module(command.module), "run", lambda known: taken.append(vars(known)))
    for call in ([words[0], *given, *words[1:]], [*words, *given], words):
        assert main(call) == 0
    before, after, neither = taken
    assert before == after
    assert (before["json"], before["dir"], before.get("language")) == (
        True,
        tmp_path,
        "zh" if command.spoken else None,
    )
    assert (neither["json"], neither.get("language")) == (False, None)


@pytest.mark.parametrize("words", [["up"], ["up", "-d"]])
def test_a_folder_that_cannot_be_made_is_told_in_one_line(words, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([*words, "--dir", str(tmp_path / "file" / "below")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{tmp_path}/file" in told


@pytest.mark.parametrize("words", [["--wait", "16"], ["--wait", "nan"], ["--wait", "-1"], ["--limit", "0"]])
def test_what_an_agreement_cannot_take_is_wrong_usage(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["agreement", "--dir", str(tmp_path), *words])
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_help_fits_a_narrow_terminal(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_long_example_has_its_explanation_below_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["token", "--help"])
    told = capsys.readouterr().out
    assert "--scopes read,write [--days N]\n" in told
    assert re.search(r"\n {4,8}shown once\n", told)


def test_logs_of_nothing_say_what_there_is(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "order.log").write_text("one\ntwo\n")
    assert main(["logs", "orders", "--dir", str(tmp_path)]) == 1
    assert "There is: order" in capsys.readouterr().err
    assert main(["logs", "order", "-n", "1", "--dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "two\n"


def test_stopping_what_does_not_run_is_no_failure(tmp_path, capsys):
    assert main(["down", "--dir", str(tmp_path)]) == 0
    assert "no stack runs" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["-1", "65536", "http", "٣٣٣٣", "²"])
def test_a_port_that_is_none_is_told(port, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["up", "--port", port, "--dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_a_stack_that_only_starts_or_stops_is_not_forgotten_under_its_launcher(tmp_path):
    """It has no endpoints.json then; two launchers in one folder would write over each other's databases."""
    launcher = StackFolder(tmp_path)
    launcher.take()
    (tmp_path / "postgres").mkdir()
    assert up.is_running(tmp_path)
    with pytest.raises(CommandFailed, match="or starts or stops there") as told:
        up.forget(tmp_path, "demo")
    assert "then use demo again" in str(told.value)
    with pytest.raises(CommandFailed, match="already"):
        StackFolder(tmp_path).take()
    assert (tmp_path / "postgres").exists()
    launcher.leave()
    assert not up.is_running(tmp_path)
    up.forget(tmp_path)
    assert not tmp_path.exists()


def test_who_opened_a_folder_that_is_removed_meanwhile_does_not_take_it(tmp_path, monkeypatch):
    """Its lock would be on a file that nobody finds any more."""
    flock = fcntl.flock

    def removed_before(lock, how):
        (tmp_path / "lock").unlink()
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", removed_before)
    assert not StackFolder(tmp_path).hold()


def test_a_port_of_last_time_that_another_program_has_is_told_and_tried_again_next_time(tmp_path):
    StackFolder(tmp_path).remember_port(port := processes.free_port())
    with socket.create_server(("127.0.0.1", port)):
        stack = Stack(tmp_path)
        assert stack._port_of_last_time() == 0
    assert stack.port_missed == port
    assert f"port {port} of last time is in use" in up._elsewhere(stack.port_missed)
    assert Stack(tmp_path)._port_of_last_time() == port


def test_a_demo_deletes_an_earlier_day_only_when_told_to(tmp_path):
    day = tmp_path / "demo"
    (day / "postgres").mkdir(parents=True)
    (day / "lock").touch()
    with pytest.raises(CommandFailed, match="an earlier demo is kept") as told:
        demo.make_room(day, fresh=False)
    assert f"up --dir {day}" in str(told.value)
    assert f"demo --fresh --dir {tmp_path}" in str(told.value)
    assert (day / "postgres").exists()
    demo.make_room(day, fresh=True)
    assert not day.exists()


def test_fresh_deletes_no_folder_that_is_not_a_stack(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CommandFailed, match="other files"):
        up.forget(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--url", "http://127.0.0.1:1"], "--url needs --token-file"),
        (["--token-file", "token"], "--token-file needs --url"),
        (["--url", "http://127.0.0.1:1", "--token-file", "token", "--dir", "."], "give one of them"),
        (["--url", "tieout.example", "--token-file", "token"], "'tieout.example' is no address of a gateway"),
        (["--url", "http://host:port", "--token-file", "token"], "is no address of a gateway"),
        (["--url", "https://anna:secret@tieout.example", "--token-file", "token"], "give the token in a file"),
    ],
)
def test_a_gateway_that_is_named_by_half_is_wrong_usage(words, told, capsys, monkeypatch):
    monkeypatch.delenv("TIEOUT_URL", raising=False)
    monkeypatch.delenv("TIEOUT_TOKEN_FILE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["agreement", *words])
    assert ended.value.code == 2
    complaint = capsys.readouterr().err
    assert told in complaint
    assert "secret@" not in complaint


@pytest.mark.parametrize("name", ["up", "down", "logs", "feed", "recover", "bench", "chaos", "demo", "give-up"])
def test_a_command_that_needs_the_stack_itself_takes_no_url(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert "--url" not in capsys.readouterr().out.replace("--url-", "")


async def test_where_the_gateway_lives_and_a_server_hangs_the_doctor_names_the_server(tmp_path, monkeypatch):
    """What accepts connections and says nothing, as a server does whose processes are suspended."""
    monkeypatch.setattr(silent, "SERVER_SECONDS_MAX", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        there = f"127.0.0.1:{hung.getsockname()[1]}"
        (tmp_path / "password").write_text("secret")
        secret = str(tmp_path / "password")
        dsn = f"postgresql://auditor@{there}/tieout_order?sslmode=disable"
        database = DatabaseEndpoint(dsn, secret, dsn, secret, dsn, secret)
        where = Endpoints(
            "http://127.0.0.1:1", secret, NatsEndpoint(f"nats://{there}", "x", secret), {}, {"order": database}
        )
        told = {check.name: check for check in await asyncio.to_thread(silent.servers, where)}
    assert told["postgres"].found == "No answer of the database of order: no answer in time."
    assert (told["postgres"].state, told["hub"].state) == ("wrong", "wrong")
    assert "logs hub" in told["hub"].next_step


@pytest.mark.parametrize("command", ["tickets", "census"])
def test_each_example_of_a_help_stands_on_a_line_of_its_own(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert shown.count(f"tieout {command} ") - 1 - shown.count(f"./tieout {command}") <= sum(
        line.startswith(f"    tieout {command} ") for line in lines
    )
    assert max(map(len, lines)) <= 80


def told_in_code(file):
    """The texts of a file, with {} for each value; not its docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(node.value)
        if isinstance(node, ast.JoinedStr):
            inside.update(part for part in node.values if isinstance(part, ast.Constant))
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    yield from (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside
    )


def test_a_refusal_that_names_a_route_names_the_command_first_where_there_is_one():
    """The same sentence is read by who calls HTTP and by who types commands."""
    offices = {"quarantine", "approvals", "periods", "tickets", "desk", "replay", "token"}
    modules = [importlib.import_module(command.module) for command in COMMANDS if command.name in offices]
    asked = {one for module in modules for one in vars(module).values() if isinstance(one, Operation)}
    routes = {f"{one.method} {re.sub('{[^}]*}', '{}', one.path)}" for one in asked}
    assert "GET /v1/requests" in routes
    files = [file for folder in sentences.ROOT.glob("services/*/src") for file in folder.rglob("*.py")]
    named = {
        text: found
        for file in files
        for text in told_in_code(file)
        if "openapi" not in file.name and (found := re.search(r"(GET|POST|PUT) /v1/[^\s.;,)]*", text))
    }
    assert len(named) > 10
    wrong = [text for text, found in named.items() if found[0] in routes and "./tieout " not in text[: found.start()]]
    assert wrong == []
