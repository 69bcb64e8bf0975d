"""Give up the events that a flow cannot read and that therefore hold it up: they become dead letters, with your reason.

First see whether another version reads them (the runbook FlowStopped): what is given up is booked only by a replay.
"""

import argparse
import asyncio
import getpass
import ssl

import nats
import nats.errors
from tieout.contracts.agreement import RestartedFlow, RestartFlowRequest
from tieout.contracts.streams import FLOW
from tieout.devstack import endpoints, hints
from tieout.devstack.failures import CommandFailed
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import why_silent
from tieout.servicekit import Refused, ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("flow", metavar="FLOW", help="its name, as `tieout tickets show` tells it")
    parser.add_argument("--reason", required=True, metavar="WHY", help="written to the service's log")


def run(arguments: argparse.Namespace) -> int:
    flow = FLOW.get(arguments.flow)
    if flow is None:
        raise CommandFailed(f"there is no flow {arguments.flow!r}. There are: {', '.join(sorted(FLOW))}.")
    hub = endpoints.of_stack(arguments.dir).hub
    request = RestartFlowRequest(flow.durable, getpass.getuser(), arguments.reason, give_up_unreadable=True)
    try:
        asyncio.run(_ask(hub, flow.service, request))
    except Refused as refused:
        raise CommandFailed(refused.problem.detail) from None
    except (OSError, nats.errors.Error, ssl.SSLError) as error:
        step = f"What is wrong: {hints.command('doctor')}"
        raise CommandFailed(f"{flow.service} does not answer ({why_silent(error)}). {step}") from None
    Screen().print(f"{flow.durable} gives up what it cannot read, until a batch comes that it reads whole.")
    return 0


async def _ask(hub: endpoints.NatsEndpoint, service: str, request: RestartFlowRequest) -> None:
    connection = await hub.connect()
    try:
        await ask(connection, f"rpc.{service}.restart_flow", request, RestartedFlow)
    finally:
        await connection.close()
