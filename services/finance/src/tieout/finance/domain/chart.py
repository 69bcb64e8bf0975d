"""The default chart of accounts (企业会计准则) and the roles that the voucher templates post to."""

from typing import NamedTuple


class LedgerAccount(NamedTuple):
    code: str
    name: str
    name_zh: str
    kind: str  # asset, liability, equity, income, expense


CHART = tuple(
    LedgerAccount(*row)
    for row in (
        ("1002", "Bank deposits", "银行存款", "asset"),
        ("1012.01", "Other monetary funds: payment providers", "其他货币资金-支付平台", "asset"),
        ("1122", "Accounts receivable", "应收账款", "asset"),
        ("1221", "Other receivables", "其他应收款", "asset"),
        ("1231", "Allowance for doubtful accounts", "坏账准备", "asset"),
        ("1405", "Finished goods and merchandise", "库存商品", "asset"),
        ("1406", "Goods shipped, not delivered", "发出商品", "asset"),
        ("1901", "Assets pending disposal", "待处理财产损溢", "asset"),
        ("2202.01", "Accounts payable", "应付账款", "liability"),
        ("2202.02", "Goods received, not invoiced", "应付账款-暂估", "liability"),
        ("2203", "Unapplied customer payments", "预收账款-未核销收款", "liability"),
        ("2204", "Contract liabilities", "合同负债", "liability"),
        ("2221.01.01", "VAT payable: output tax", "应交增值税(销项税额)", "liability"),
        ("2221.01.02", "VAT payable: input tax", "应交增值税(进项税额)", "liability"),
        ("2221.01.04", "VAT payable: input tax transferred out", "应交增值税(进项税额转出)", "liability"),
        ("2221.06", "Output tax pending", "待转销项税额", "liability"),
        ("2241.01", "Other payables: refunds due to customers", "其他应付款-应退客户", "liability"),
        ("4104.99", "Opening balances", "利润分配-期初建账", "equity"),
        ("6001.01", "Revenue: goods", "主营业务收入-商品", "income"),
        ("6001.02", "Revenue: carriage", "主营业务收入-运费", "income"),
        ("6001.08", "Sales discounts and allowances", "销售折扣与折让", "income"),
        ("6001.09", "Revenue: other services", "主营业务收入-其他", "income"),
        ("6401", "Cost of goods sold", "主营业务成本", "expense"),
        ("6601.05", "Samples and gifts", "销售费用-样品赠品", "expense"),
        ("6601.06", "Platform commission", "销售费用-平台佣金", "expense"),
        ("6602.08", "Stock count losses", "管理费用-存货盘亏", "expense"),
        ("6603.02", "Bank charges", "财务费用-手续费", "expense"),
        ("6603.03", "Exchange differences, realised", "汇兑损益-已实现", "expense"),
        ("6603.04", "Exchange differences, unrealised", "汇兑损益-未实现", "expense"),
        ("6603.05", "Rounding differences", "财务费用-尾差", "expense"),
        ("6702", "Credit losses", "信用减值损失", "expense"),
        ("6711", "Non-operating expenses", "营业外支出", "expense"),
    )
)

# Role -> account. `line:` roles are the account classes of order lines (contracts.order.Account).
ROLES = {
    "receivable": "1122",
    "deposit": "2204",
    "deposit_tax": "2221.06",
    "refundable": "2241.01",
    "unapplied": "2203",
    "output_tax": "2221.01.01",
    "output_tax_pending": "2221.06",
    "stock": "1405",
    "in_transit": "1406",
    "cogs": "6401",
    "sample": "6601.05",
    "opening": "4104.99",
    "goods_received": "2202.02",
    "count_difference": "1901",
    "count_management": "6602.08",
    "count_disaster": "6711",
    "count_person": "1221",
    "input_tax_out": "2221.01.04",
    "allowance": "1231",
    "credit_loss": "6702",
    "cash_discount": "6001.08",
    "bank": "1002",
    "wallet": "1012.01",
    "bank_fee": "6603.02",
    "platform_fee": "6601.06",
    "fx_realised": "6603.03",
    "fx_unrealised": "6603.04",
    "rounding": "6603.05",
    "line:goods": "6001.01",
    "line:carriage": "6001.02",
    "line:allowance": "6001.08",
    "line:other": "6001.09",
    "line:sample": "6601.05",
    "line:commission": "6601.06",
    "line:bank_charge": "6603.02",
    "line:gift_voucher": "2204",
    "line:rounding": "6603.05",
}
