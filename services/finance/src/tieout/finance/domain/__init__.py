"""The rules of the ledger: no I/O, no clock, no logging. One file per aggregate."""
