"""What an order will never cost any more, because a part of it was refused or cancelled."""

from collections.abc import Mapping, Sequence

from tieout.finance.domain.amounts import part


def stopped_amount(lines: Sequence[int], stopped: Mapping[int, int]) -> int:
    """Net and tax of the stopped quantities; `lines` is number, quantity, net, tax of each line in one row.

    The last units of a line: what ships is A(ordered - stopped), in however many parts, so the two add up to the line.
    """
    total = 0
    for number, ordered, net, tax in zip(lines[::4], lines[1::4], lines[2::4], lines[3::4], strict=True):
        left = ordered - min(stopped.get(number, 0), ordered)
        if left < ordered:
            total += part(net, left, ordered, ordered) + part(tax, left, ordered, ordered)
    return total
