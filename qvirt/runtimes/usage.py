"""What the processes of a VM use, as the system of this machine counts it."""

from __future__ import annotations

from contextlib import suppress

from qvirt.runtimes.contract import Stats


def usage(pid: int) -> Stats:
    """Of a process and all that it has started; nothing where it has gone or may not be looked at."""
    import psutil

    memory, seconds, processes = 0, 0.0, 0
    for each in (pid, *offspring(pid)):
        with suppress(psutil.Error, ValueError):
            process = psutil.Process(each)
            used, times = process.memory_full_info(), process.cpu_times()
            memory += getattr(used, "pss", used.rss)
            seconds += times.user + times.system
            if each == pid:  # what it has started, and what has ended since
                seconds += times.children_user + times.children_system
            processes += 1
    return Stats(memory, seconds, processes)


def offspring(pid: int) -> list[int]:
    """What a process has started, and what that has."""
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except (psutil.Error, ValueError):
        return []
