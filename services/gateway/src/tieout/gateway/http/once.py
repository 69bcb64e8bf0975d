"""A header that names what is asked may come twice, as where a proxy repeats it, but not say two things."""

from collections.abc import Iterable

from tieout.servicekit import Refused


def said_once(headers: Iterable[tuple[bytes, bytes]], name: str) -> str:
    """Its value without blanks around it, empty where it is not there. Raises Refused `repeated_header`: which of two
    values counts, whoever stands before us may see otherwise."""
    wanted = name.lower().encode()
    values = {value.strip() for header, value in headers if header == wanted}
    if len(values) > 1:
        told = f"{name} came {len(values)} times, each time with another value. Nothing was done; send one."
        raise Refused("repeated_header", told, field=name, status=400)
    return values.pop().decode("latin-1") if values else ""
