"""`push`, `deploy` and `watch` on the command line: what leaves the machine, and what is looked at afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from ops.pipeline import steps
from ops.pipeline.deploy import COMMAND, DeployError, Target, deploy
from ops.pipeline.push import PushError, hand_on, push
from ops.pipeline.watch import Unwatchable, Watch, Watched, watch

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

ROLL_BACK = "Roll back: deploy the image that ran before, by its digest (docs/pipeline.md, Roll back)."


def add_push(verbs: Verbs) -> None:
    parser = _parser(
        verbs,
        "push",
        "the image to a registry, under the version's names",
        """examples:
  python -m ops.pipeline push --repository somebody/taskmanager-api --version v1.2.3
  IMAGE_REPOSITORY=localhost:5000/taskmanager-api VERSION=v1.2.3 make ci ONLY=push

exit status:
  0  pushed; its digest is the last line    1  it was not pushed, or not whole    2  wrong usage""",
    )
    parser.add_argument("--image", default=steps.IMAGE, help="the image of this engine (%(default)s, or IMAGE)")
    _from_environment(parser, "--repository", "IMAGE_REPOSITORY", "where it goes")
    _from_environment(parser, "--version", "VERSION", "v1.2.3, or v1.2.3-rc.1, which does not become latest")
    parser.set_defaults(run=_push)


def _push(options: argparse.Namespace) -> int:
    try:
        digest = push(options.image, options.repository, options.version, print)
    except PushError as error:
        return _complain(str(error))
    if path := os.environ.get("GITHUB_OUTPUT"):
        hand_on(Path(path), options.repository, digest)
    print(f"{options.repository}@{digest}")
    return 0


def add_deploy(verbs: Verbs) -> None:
    parser = _parser(
        verbs,
        "deploy",
        "a pushed image on a host, by ssh",
        """examples:
  python -m ops.pipeline deploy --host deployer@host.example --image somebody/taskmanager-api@sha256:…
  python -m ops.pipeline deploy … --folder /srv/taskmanager --command 'docker-compose up -d --no-build app'

exit status:
  0  the host's command ended well    1  it did not, or the host was not reached    2  wrong usage""",
    )
    _from_environment(parser, "--host", "DEPLOY_HOST", "the host, as ssh takes it")
    _from_environment(parser, "--image", "DEPLOY_IMAGE", "what is deployed, by its digest")
    parser.add_argument(
        "--folder",
        default=os.environ.get("DEPLOY_FOLDER") or "taskmanager-api",
        help="the checkout on the host (%(default)s, or DEPLOY_FOLDER)",
    )
    parser.add_argument(
        "--command",
        default=os.environ.get("DEPLOY_COMMAND") or COMMAND,
        help="what is run in it, with TASKMANAGER_IMAGE set (compose's pull and up, or DEPLOY_COMMAND)",
    )
    parser.add_argument(
        "--repository",
        default=os.environ.get("IMAGE_REPOSITORY") or None,
        help="refuse an image of any other (IMAGE_REPOSITORY; unset: of none)",
    )
    parser.set_defaults(run=_deploy)


def _deploy(options: argparse.Namespace) -> int:
    try:
        deploy(Target(options.host, options.folder, options.command, options.repository), options.image)
    except DeployError as error:
        return _complain(str(error))
    print(f"{options.image} is deployed on {options.host}; now watch it")
    return 0


def add_watch(verbs: Verbs) -> None:
    parser = _parser(
        verbs,
        "watch",
        "a service for some minutes after a deployment: healthy, in use, no alert",
        """examples:
  python -m ops.pipeline watch --service http://127.0.0.1:8000 --prometheus http://127.0.0.1:9090
  python -m ops.pipeline watch … --minutes 10 --key-file secrets/probe-key --commit "$(git rev-parse HEAD)"

exit status:
  0  it stayed well    1  it did not: roll back    2  wrong usage, or Prometheus could not be asked""",
    )
    _from_environment(parser, "--service", "MONITOR_SERVICE", "the service's address")
    _from_environment(parser, "--prometheus", "MONITOR_PROMETHEUS", "Prometheus' address")
    minutes = os.environ.get("MONITOR_MINUTES") or "5"
    parser.add_argument("--minutes", type=_positive, default=minutes, help="how long (%(default)s, or MONITOR_MINUTES)")
    parser.add_argument(
        "--interval", type=_positive, default="10", metavar="SECONDS", help="between looks (%(default)s)"
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        default=os.environ.get("MONITOR_KEY_FILE") or None,
        help="a file with an API key that may read and write tasks (MONITOR_KEY_FILE)",
    )
    parser.add_argument(
        "--commit", default=os.environ.get("MONITOR_COMMIT") or None, help="what must be running (MONITOR_COMMIT)"
    )
    parser.set_defaults(run=_watch)


def _watch(options: argparse.Namespace) -> int:
    try:
        key = options.key_file.read_text(encoding="utf-8").strip() if options.key_file else None
        watched = Watched(options.service, options.prometheus, key, options.commit)
        with Watch(watched) as looking:
            reasons = watch(looking, minutes=options.minutes, interval_s=options.interval, say=print)
    except (Unwatchable, OSError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        print(f"It was not watched: {error}", file=sys.stderr)
        return 2
    if not reasons:
        print(f"It stayed well for {options.minutes:g} minutes.")
        return 0
    for reason in reasons:
        print(f"FAILED  {reason}", file=sys.stderr)
    return _complain(ROLL_BACK)


def _parser(verbs: Verbs, name: str, about: str, epilog: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name, help=about, description=about, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _from_environment(parser: argparse.ArgumentParser, option: str, variable: str, about: str) -> None:
    """An option that is required unless the variable is set."""
    value = os.environ.get(variable) or None
    parser.add_argument(option, default=value, required=value is None, help=f"{about} (or {variable})")


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
