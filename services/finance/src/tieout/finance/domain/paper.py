"""Vouchers that a person asked for, about one order: whose item, since when, prepared by whom."""

from datetime import date
from uuid import UUID

from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.periods import posting
from tieout.finance.domain.voucher import Company, Draft


def draft_of(
    company: Company, template: str, item: OpenItem, document: tuple[UUID, str], business_date: date, actor: str
) -> Draft:
    when = posting(business_date, company.closed_through)
    document_id, document_no = document
    return Draft(
        company,
        template,
        when.period,
        when.day,
        when.deferred_from,
        business_date,
        item.item_id,
        document_id,
        document_no,
        item.order_no,
        item.customer,
        item.currency,
        "",  # No event caused it.
        0,
        lines=[],
        prepared_by=actor,
    )
