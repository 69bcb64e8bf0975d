"""Mappings: where things stand in a source's document, written down as data and compiled to closures.

A mapping says nothing about rules: amounts come out exact, and judging them is the domain's work.
"""

from tieout.gateway.mapping.engine import Mapping, SpecError, compile_mapping

__all__ = ["Mapping", "SpecError", "compile_mapping"]
