"""The guest of killloop: changes files, syncs them, and says on standard output which step is durable: writer.py SEED

Every step is one of: append to the journal; write aside and rename; make a directory with a file; remove an old file; change mode and
time. After its fsyncs it prints the step's number. check() in killloop knows from the number alone what must be there."""

import itertools
import os
import sys


def sync(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    os.fsync(fd)
    os.close(fd)


def write_synced(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, text.encode())
    os.fsync(fd)
    os.close(fd)


def step(n, journal):
    os.write(journal, f"{n}\n".encode())
    os.fsync(journal)
    write_synced("state.tmp", f"state {n}\n")
    os.rename("state.tmp", "state")
    if n % 3 == 0:
        os.mkdir(f"d{n}")
        write_synced(f"d{n}/file", f"in {n}\n" * 50)
        os.chmod(f"d{n}/file", 0o600 | n % 8)
        sync(f"d{n}/file")
    if n % 5 == 0 and n >= 30:
        old = (n - 30) // 3 * 3
        if os.path.exists(f"d{old}/file"):
            os.unlink(f"d{old}/file")
            os.rmdir(f"d{old}")
    with open("lower", "r+") as f:
        f.seek(n % 1000)
        f.write("#")
        f.flush()
        os.fsync(f.fileno())
    sync(".")


def main():
    journal = os.open("journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for n in itertools.count(1):
        step(n, journal)
        print(n, flush=True)


if __name__ == "__main__":
    main()
