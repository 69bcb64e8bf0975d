"""Every file of contracts, listed once: streams, permissions, schemas and HTTP routes follow from what they declare."""

from tieout.contracts import (
    access,
    control,
    credit_limit,
    desk,
    finance,
    gateway,
    inventory,
    order,
    period,
    rates,
    repair,
    replay,
    ticket,
    watch,
)

# Routes stand in this order in /openapi.json: one service's files beside each other.
CONTRACTS = (
    gateway,
    access,
    rates,
    order,
    credit_limit,
    inventory,
    finance,
    control,
    ticket,
    desk,
    period,
    repair,
    replay,
    watch,
)
