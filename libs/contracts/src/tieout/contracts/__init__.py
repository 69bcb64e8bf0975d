"""The public promises between services: the only vocabulary that they share.

Each file has one owner, and is listed in catalogue.py. Fields are only ever added, with a default: `schemas/` holds
their JSON Schemas, and compare.py refuses what would break a promise.
"""
