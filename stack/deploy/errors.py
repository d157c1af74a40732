"""How a deployment ends otherwise than well.

StackError               see stack.errors
└── DeploymentError      `reason` in one line, `evidence` in lines as they were said
    ├── Refused          nothing was touched, and the text says what to do
    ├── StepFailed       a step before the switch, or a replica, did not do what it should
    ├── Cancelled        a person asked for the end
    ├── RolledBack       the release before serves again, everywhere
    └── RollbackFailed   it does not, or not everywhere
NotDone                  no error: a step that is told as not done
NothingRuns              no `stack up --replicas` listens in this data folder
AnotherDeployment        one is at work already
"""

from collections.abc import Sequence

from stack.errors import StackError


class DeploymentError(StackError):
    """`evidence`: the last lines of a log, say; they stay on this machine."""

    def __init__(self, reason: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.evidence = tuple(evidence)


class Refused(DeploymentError):
    exit_code = 5


class StepFailed(DeploymentError):
    exit_code = 1


class Cancelled(DeploymentError):
    exit_code = 1


class RolledBack(DeploymentError):
    exit_code = 6


class RollbackFailed(DeploymentError):
    exit_code = 7


class NotDone(Exception):
    """A step of the pre-flight that this road, or this installation, does not have; the message says why."""


class NothingRuns(StackError):
    exit_code = 69


class AnotherDeployment(StackError):
    exit_code = 4
