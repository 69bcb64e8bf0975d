"""Reasons as people say them, in English and Chinese: of dead letters and of documents in conflict.

A title in Chinese must not hold a code of ours, so a test finds every code that a service can say, and looks for it
here.
"""

REASONS = {
    # Of dead letters.
    "unreadable": ("messages that are not what the contract says", "消息不符合约定格式"),
    "nul_character": ("texts with a NUL character, which no database keeps", "文本含有 NUL 字符，数据库无法保存"),
    "refused_by_database": ("the database refuses the values", "数据库拒绝写入"),
    "internal_error": ("an error that nobody foresaw", "程序出现未预见的错误"),
    "too_large": ("documents that are too large", "单据过大"),
    "above_range": ("a number outside of what can be kept", "数值超出范围"),
    "broken_order": ("an order whose lines cannot be", "订单明细有误"),
    "unknown_company": ("a company that is not set up", "公司未建立"),
    "unknown_article": ("an article that is not set up", "商品未建立"),
    "unknown_warehouse": ("a warehouse that is not set up", "仓库未建立"),
    # Of either.
    "unknown_line": ("a line that the order does not have", "订单中没有该行"),
    "above_shipped": ("more than was shipped", "超过已发数量"),
    # Of conflicts: orders, cancellations, credit notes.
    "other_content": ("the same number with other contents", "同号不同内容"),
    "repeated_line": ("two lines of one number", "行号重复"),
    "above_credit_limit": ("more than the customer's credit limit", "超过客户信用额度"),
    "above_ordered": ("more than was ordered", "超过订购数量"),
    "above_billed": ("more than was billed", "超过已开票金额"),
    "other_currency": ("another currency", "币种不符"),
    "other_sku": ("another article than was sold", "商品与所售不符"),
    "line_not_named": ("goods come back and their order line is not named", "退货未指明原订单行"),
    # Receipts, counts, confirmations, deliveries.
    "zero_quantity": ("a line that changes nothing", "数量为零"),
    "above_on_hand": ("more than is on hand", "超过库存数量"),
    "nothing_reserved": ("nothing is reserved", "没有预留库存"),
    "above_reserved": ("more than is reserved", "超过预留数量"),
    "passed_at_issue": ("the goods were the customer's when they left", "控制权在发货时已转移，签收不再记账"),
    "unknown_shipment": ("a shipment that the order does not have", "订单中没有该批发货"),
    "nothing_on_its_way": ("nothing is on its way", "没有在途货物"),
    # Payments and refunds.
    "impossible_amounts": ("amounts that cannot be", "金额有误"),
    "discount_above_open": ("a discount above what is open", "折扣超过未收金额"),
    "above_received": ("more than came was paid back", "退款超过已收金额"),
}
