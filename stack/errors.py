"""What can go wrong while starting or stopping things, as one clear line for a person.

StackError         anything that ends `stack`; its text says what is wrong and what to do
├── PortTaken      the service's port cannot be bound
└── FolderInUse    another process already uses the data folder
"""


class StackError(Exception):
    """Something the person who typed the command can act on; `exit_code` is the process's exit status."""

    exit_code = 1


class PortTaken(StackError):
    exit_code = 3


class FolderInUse(StackError):
    exit_code = 4
