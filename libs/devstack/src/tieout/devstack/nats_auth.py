"""What NATS on Kubernetes must know of its users: permissions for charts/platform, and passwords for a Secret.

    python -m tieout.devstack.nats_auth permissions --out charts/platform/files/permissions.json
    python -m tieout.devstack.nats_auth passwords --sites store-1,store-2 --out DIRECTORY

The first derives from the contracts, is committed, and a test compares it with the code. The second writes what never
comes near git: `hub/<user>.conf` for the hub's Secret, and `<user>/nats-password` for the one who connects.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tieout.contracts.streams import CORE_SERVICES, DEAD_STREAM, DEAD_SUBJECT, stream_of, subjects_of
from tieout.devstack import permissions
from tieout.devstack.secrets import Secrets

SITE = "<site>"  # The chart puts a site's name here, and where it stands in capitals the name as streams write it.
RESERVED = (*CORE_SERVICES, permissions.OPERATOR, permissions.SYSTEM, permissions.TILL, permissions.STANDBY, "hub")
_SITE_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


def document() -> dict[str, object]:
    """All permissions on the hub; those that a site brings along are told once, with its name left open."""
    alone = {service: permissions.of_service(service) for service in CORE_SERVICES}
    with_site = permissions.of_service("gateway", [SITE])
    standby = permissions.of_standby()
    standby_with_site = permissions.of_standby([SITE])
    return {
        "streams": {
            **{stream_of(service): list(subjects_of(service)) for service in CORE_SERVICES},
            DEAD_STREAM: [DEAD_SUBJECT],
        },
        "services": {service: _lists(allowed) for service, allowed in alone.items()},
        "standby": _lists(standby),
        "site": _lists(permissions.of_site(SITE)),
        "perSite": {
            "gateway": _lists(_beyond(with_site, alone["gateway"])),
            "standby": _lists(_beyond(standby_with_site, standby)),
        },
        "till": _lists(permissions.of_till()),
    }


def write_passwords(sites: Iterable[str], folder: Path) -> list[str]:
    """The users whose passwords stand in `folder` now; those that stood there before are kept."""
    secrets = Secrets(folder / "words")
    users = [*CORE_SERVICES, permissions.OPERATOR, permissions.SYSTEM, permissions.STANDBY, *sites]
    for user in users:
        word = secrets.of(user)
        # A fragment of configuration, not a bare word: so any password can be quoted, and a hash of it will do.
        for path, text in ((f"hub/{user}.conf", f"password: {json.dumps(word)}\n"), (f"{user}/nats-password", word)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / path).touch(mode=0o600)
            (folder / path).write_text(text)
    return users


def _lists(allowed: permissions.Permissions) -> dict[str, list[str]]:
    return {"publish": list(allowed.publish), "subscribe": list(allowed.subscribe)}


def _beyond(more: permissions.Permissions, less: permissions.Permissions) -> permissions.Permissions:
    return permissions.Permissions(
        tuple(subject for subject in more.publish if subject not in less.publish),
        tuple(subject for subject in more.subscribe if subject not in less.subscribe),
    )


def _sites(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not _SITE_NAME.fullmatch(name) or name in RESERVED:
            raise argparse.ArgumentTypeError(
                f"{name!r} is no name for a site: lower-case letters, digits and hyphens, and none of {RESERVED}"
            )
    return names


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tieout.devstack.nats_auth", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    derived = commands.add_parser("permissions", help="who may say and hear what, from the contracts")
    derived.add_argument("--out", type=Path, help="file to write; without it they are printed")
    made = commands.add_parser("passwords", help="one per user, kept where one was made before")
    made.add_argument("--sites", type=_sites, default=[], help="leaf sites, separated by commas")
    made.add_argument("--out", type=Path, required=True, help="a folder outside the repository")
    asked = parser.parse_args(arguments)
    if asked.command == "passwords":
        users = write_passwords(asked.sites, asked.out)
        print(f"{len(users)} users: {', '.join(users)}")
        print(f"kubectl create secret generic tieout-nats-users --from-file={asked.out / 'hub'}")
        return 0
    text = json.dumps(document(), indent=1) + "\n"
    if asked.out:
        asked.out.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
