"""What a stack needs of a Jaeger 2 and nothing else: it reads the same configuration, takes OTLP over HTTP on the port
that stands there, and answers two questions of the query API v3. So how a stack starts, feeds and stops one is tested.
"""

import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tieout.devstack.collector import Receiver


def port(endpoint: str) -> int:
    host, _, number = endpoint.partition(":")
    assert host == "127.0.0.1"
    return int(number)


def _attribute(key: str, value: object) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": str(value)}}


def main() -> None:
    if sys.argv[1:] == ["version"]:
        print(json.dumps({"gitCommit": "0", "gitVersion": "v2.0.0"}, separators=(",", ":")))
        return
    assert sys.argv[1] == "--config"
    told = json.loads(Path(sys.argv[2]).read_text())
    receiver = Receiver(port(told["receivers"]["otlp"]["protocols"]["http"]["endpoint"]))

    class Query(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            trace = self.path.removeprefix("/api/v3/traces/")
            spans = [
                {"name": one.name, "attributes": [_attribute(*tag) for tag in one.told.items()]}
                for one in receiver.spans
                if one.trace == trace
            ]
            body = json.dumps({"result": {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}}).encode()
            self.send_response(200 if spans or self.path == "/api/v3/services" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port(told["extensions"]["jaeger_query"]["http"]["endpoint"])), Query)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


main()
