"""Who may say and hear what on Kubernetes' NATS: what charts/platform includes, from the contracts.

    python -m tieout.devstack.nats_auth --out charts/platform/files/permissions.json

The file is committed, and a test compares it with the code. It names no site: the chart does, from its values, so that a
new site is a line there. Passwords are another matter: see kubernetes_secrets.py.
"""

import argparse
import json
import sys
from pathlib import Path

from tieout.contracts.streams import CORE_SERVICES, DEAD_STREAM, DEAD_SUBJECT, stream_of, subjects_of
from tieout.devstack import permissions

SITE = "<site>"  # The chart puts a site's name here, and where it stands in capitals the name as streams write it.


def document() -> dict[str, object]:
    """All permissions on the hub; those that a site brings along are told once, with its name left open."""
    alone = {service: permissions.of_service(service) for service in CORE_SERVICES}
    standby = permissions.of_standby()
    return {
        "streams": {
            **{stream_of(service): list(subjects_of(service)) for service in CORE_SERVICES},
            DEAD_STREAM: [DEAD_SUBJECT],
        },
        "services": {service: allowed.as_lists() for service, allowed in alone.items()},
        "standby": standby.as_lists(),
        "site": permissions.of_site(SITE).as_lists(),
        "perSite": {
            "gateway": _beyond(permissions.of_service("gateway", [SITE]), alone["gateway"]).as_lists(),
            "standby": _beyond(permissions.of_standby([SITE]), standby).as_lists(),
        },
    }


def _beyond(more: permissions.Permissions, less: permissions.Permissions) -> permissions.Permissions:
    return permissions.Permissions(
        tuple(subject for subject in more.publish if subject not in less.publish),
        tuple(subject for subject in more.subscribe if subject not in less.subscribe),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tieout.devstack.nats_auth")
    parser.add_argument("--out", type=Path, help="file to write; without it the permissions are printed")
    out = parser.parse_args(arguments).out
    text = json.dumps(document(), indent=1) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
