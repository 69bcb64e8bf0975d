"""Benchmarks: commands that print their floor beside their figure. Never a timed test.

chain.py    a backlog of raw documents until every voucher is posted and the books agree
intake.py   requests and documents per second that the gateway acknowledges as committed
latency.py  placed-to-voucher percentiles in open loop
floor.py    what the same servers do for chains without the product: the two floors
load.py     the documents, and the stack that they run on
"""
