"""Looking at the processes of a sandbox from outside, through the host's /proc."""

import os


def stat_fields(pid):
    """(comm, state, ppid), or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            text = f.read()
    except OSError:
        return None
    comm, _, rest = text.partition("(")[2].rpartition(")")
    state, ppid = rest.split()[:2]
    return comm, state, int(ppid)


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        fields = stat_fields(name) if name.isdigit() else None
        if fields and fields[2] == pid:
            found.append(int(name))
    return found


def descendants(pid):
    """pid's children, their children, and so on; a process that was reparented is not found."""
    found, pending = [], [pid]
    while pending:
        below = children(pending.pop())
        found += below
        pending += below
    return found


def holds_open(pid, path):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == path for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # gone, or another user's
        return False


def supervisor_of(store):
    """The supervisor of the sandbox kept in `store`: it holds the lock there (and belongs to no bvisor command, it outlives them)."""
    for name in os.listdir("/proc"):
        fields = stat_fields(name) if name.isdigit() else None
        if fields and fields[0].startswith("bvisor-supervis") and holds_open(name, os.path.join(store, "sandbox.json")):
            return int(name)
    raise RuntimeError(f"no supervisor holds {store}/sandbox.json")


def alive(pid):
    fields = stat_fields(pid)
    return fields is not None and fields[1] not in "ZX"


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
