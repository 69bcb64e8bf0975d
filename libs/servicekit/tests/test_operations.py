"""Questions and commands: clear refusals, nothing leaked, nothing lost."""

import asyncio
import json

import pytest
from msgspec import Struct
from tieout.contracts.operation import Health, Nothing, Operation
from tieout.devstack.patience import ask
from tieout.servicekit import Misconfigured, Refused, operation


class Question(Struct):
    word: str


class Answer(Struct):
    word: str


DECLARED = Operation("inventory.echo", "GET", "/v1/echo", Question, Answer, "Says the same")


@operation(DECLARED)
async def echo(request: Question, database) -> Answer:
    if request.word == "no":
        raise Refused("not_found", "There is no such word.", field="word", status=404)
    if request.word == "boom":
        raise ValueError("password=hunter2")
    return Answer(request.word * (2_000_000 if request.word == "x" else 1))


async def problem(operator, body: bytes) -> tuple[str, dict]:
    answer = await operator.request("rpc.inventory.echo", body)
    return answer.headers["Nats-Service-Error-Code"], json.loads(answer.data)


async def test_an_operation_answers(start_service, operator) -> None:
    await start_service(operations=[echo])
    assert await ask(operator, "rpc.inventory.echo", Question("hello"), Answer) == Answer("hello")


async def test_a_refusal_is_a_problem_with_code_field_and_status(start_service, operator) -> None:
    await start_service(operations=[echo])
    with pytest.raises(Refused, match="There is no such word") as caught:
        await ask(operator, "rpc.inventory.echo", Question("no"), Answer)
    assert (caught.value.problem.code, caught.value.problem.field, caught.value.problem.status) == (
        "not_found",
        "word",
        404,
    )


@pytest.mark.parametrize(
    ("body", "field"), [(b'{"word":1}', "word"), (b"{", ""), (b"\xff", ""), (b"[" * 100_000, ""), (b"{}", "")]
)
async def test_a_senseless_request_is_invalid_and_names_the_field(start_service, operator, body, field) -> None:
    await start_service(operations=[echo])
    status, told = await problem(operator, body)
    assert (status, told["code"], told.get("field", "")) == ("422", "invalid", field)


async def test_an_unforeseen_error_leaks_nothing(start_service, operator) -> None:
    await start_service(operations=[echo])
    status, told = await problem(operator, b'{"word":"boom"}')
    assert (status, told["code"]) == ("500", "internal")
    assert "hunter2" not in json.dumps(told)


async def test_an_answer_that_is_too_large_says_so(start_service, operator) -> None:
    await start_service(operations=[echo])
    status, told = await problem(operator, b'{"word":"x"}')
    assert (status, told["code"]) == ("413", "too_large")


async def test_slow_requests_run_side_by_side(start_service, operator) -> None:
    all_here = asyncio.Barrier(20)

    @operation(DECLARED)
    async def slow(request: Question, database) -> Answer:
        await all_here.wait()  # One after the other they would never be answered.
        return Answer(request.word)

    await start_service(operations=[slow])
    asked = [ask(operator, "rpc.inventory.echo", Question("x1"), Answer) for _ in range(20)]
    assert [answer.word for answer in await asyncio.gather(*asked)] == ["x1"] * 20


async def test_a_stop_answers_what_had_come(start_service, operator) -> None:
    all_here, go_on = asyncio.Barrier(11), asyncio.Event()

    @operation(DECLARED)
    async def slow(request: Question, database) -> Answer:
        await all_here.wait()
        await go_on.wait()
        return Answer(request.word)

    service = await start_service(operations=[slow])
    asked = [asyncio.create_task(ask(operator, "rpc.inventory.echo", Question("x1"), Answer)) for _ in range(10)]
    await all_here.wait()
    stopping = asyncio.create_task(service.stop())
    await service.lifetime.ending.wait()
    go_on.set()
    await stopping
    assert [answer.word for answer in await asyncio.gather(*asked)] == ["x1"] * 10


async def test_a_service_answers_only_its_own_operations(start_service) -> None:
    @operation(Operation("order.echo", "GET", "", Question, Answer, ""))
    async def foreign(request: Question, database) -> Answer:
        return Answer("")

    with pytest.raises(Misconfigured, match="belongs to order"):
        await start_service(operations=[foreign])


async def test_every_service_tells_its_health_and_is_seen_by_the_micro_protocol(start_service, operator, flow) -> None:
    await start_service([flow])
    health = await ask(operator, "rpc.inventory.health", Nothing(), Health)
    assert health.service == "inventory"
    assert health.memory_bytes > 1_000_000
    assert "inventory-reserve-stock" in health.flows
    info = json.loads((await operator.request("$SRV.INFO.inventory", b"")).data)
    assert {"health", "mark", "digest", "rows", "sequences", "violations", "trail"} <= {
        endpoint["name"] for endpoint in info["endpoints"]
    }
