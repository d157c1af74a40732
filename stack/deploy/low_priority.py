"""What may take its time, on a machine that serves requests meanwhile."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NICENESS = 10

_T = TypeVar("_T")


def with_low_priority(work: Callable[[], _T]) -> _T:
    """Does the work, and all the processes that it starts, when nothing else wants the processor.

    On Linux niceness is a thread's, and what a thread starts inherits it; elsewhere it is the whole process's, and
    the work is done as it is.
    """
    if sys.platform != "linux":
        return work()
    with ThreadPoolExecutor(1, thread_name_prefix="low priority", initializer=os.nice, initargs=(NICENESS,)) as pool:
        return pool.submit(work).result()
