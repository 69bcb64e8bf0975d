"""A source's own list as text, from a file, a pipe or a URL: reading ends whatever is there, what is no text is told.

Somebody else makes the list, so nothing about it is believed: neither that it ends, nor its length, nor its encoding.
"""

import asyncio
import codecs
import os
import re
import select
import stat
import sys
import time
from collections.abc import Callable

import httpx
from tieout.devstack.failures import CommandFailed

LIST_BYTES_MAX = 256 << 20  # Millions of lines; it is held in memory.
TRANSFER_SECONDS = 120.0  # From the first byte to the last: a source that drips must end too.
SILENT_SECONDS = 30.0
CHUNK = 1 << 20
SMALLER = "Split the list, for instance by days, and compare part after part"
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# One of these unpacks to a thousand times its size at most, so what a chunk unpacks to has a limit too.
PACKED = ("", "identity", "gzip", "deflate")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def content(source: str) -> str:
    """Raises CommandFailed, and OSError of a file as it is."""
    if source == "-":
        source = "standard input"
        return text(_taken(source, lambda: os.read(sys.stdin.fileno(), CHUNK)), source)
    scheme = _SCHEME.match(source)
    if scheme is None:
        return text(_of_file(source), source)
    if scheme[1].lower() not in ("http", "https"):
        raise CommandFailed(
            f"{source} cannot be read: only http(s) URLs or a path. Give the path alone, or an http(s) URL"
        )
    return text(*asyncio.run(_of_url(source)))


def text(data: bytes, source: str, charset: str = "") -> str:
    """In the encoding that its mark, or else its server, tells; UTF-8 without either."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), charset or "utf-8")
    try:
        told = data.decode(encoding)
    except LookupError:
        return text(data, source)
    except UnicodeError as error:
        at = f" at byte {error.start:,}" if isinstance(error, UnicodeDecodeError) else ""
        raise CommandFailed(f"{source} is no text in {encoding}{at}. Save it as CSV or JSON in UTF-8") from None
    if "\0" in told:
        raise CommandFailed(f"{source} has zero bytes, so it is no text. Save it as CSV or JSON in UTF-8")
    return told


def _of_file(path: str) -> bytes:
    """A pipe that nobody writes to would be waited for already while it is opened, were it not for O_NONBLOCK."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise CommandFailed(f"{path} is a folder. Give the file with the list")
        ends = time.monotonic() + TRANSFER_SECONDS

        def more() -> bytes:
            while select.select([file], [], [], max(0.0, ends - time.monotonic()))[0]:
                try:
                    return os.read(file, CHUNK)
                except BlockingIOError:
                    continue
            raise _endless(path)

        return _taken(path, more)
    finally:
        os.close(file)


def _taken(source: str, more: Callable[[], bytes]) -> bytes:
    data = bytearray()
    while chunk := more():
        data += chunk
        if len(data) > LIST_BYTES_MAX:
            raise _too_large(source)
    return bytes(data)


async def _of_url(url: str) -> tuple[bytes, str, str]:
    try:
        async with (
            asyncio.timeout(TRANSFER_SECONDS),
            httpx.AsyncClient(timeout=SILENT_SECONDS, follow_redirects=True) as client,
        ):
            data, charset = await download(client, url, LIST_BYTES_MAX)
    except TimeoutError:
        raise _endless(url) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        told = str(error).rstrip(".") or type(error).__name__
        raise CommandFailed(f"{url} cannot be read: {told}. Fetch it another way, and give the file") from None
    return data, url, charset


async def download(client: httpx.AsyncClient, url: str, most: int) -> tuple[bytes, str]:
    """The answer's bytes and charset; raises httpx.HTTPError, and CommandFailed beyond `most` bytes."""
    data = bytearray()
    async with client.stream("GET", url, headers={"Accept-Encoding": "gzip, deflate"}) as answer:
        answer.raise_for_status()
        packed = answer.headers.get("Content-Encoding", "").strip().lower()
        if packed not in PACKED:
            raise CommandFailed(f"{url} answers packed as {packed!r}. Fetch it another way, and give the file")
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > most:
                raise _too_large(url, most)
        return bytes(data), answer.charset_encoding or ""


def _too_large(source: str, most: int | None = None) -> CommandFailed:
    return CommandFailed(f"{source} has more than {(most or LIST_BYTES_MAX) >> 20} MiB, or never ends. {SMALLER}")


def _endless(source: str) -> CommandFailed:
    told = f"{source} has not ended after {TRANSFER_SECONDS:.0f} s, so it was given up"
    return CommandFailed(f"{told}. {SMALLER}, or save it as a file and give that")
