"""The public promises between services: the only vocabulary that they share.

One file per owner. Fields are only ever added, with a default; `schemas/` holds their JSON Schemas, and a test fails
when a field is removed or retyped.
"""
