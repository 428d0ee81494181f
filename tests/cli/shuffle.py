"""Random changes of the current directory, for apply: shuffle.py fill SEED, then shuffle.py change SEED COUNT. The same seed makes the same of the same."""
import os
import random
import sys

NAMES = ["a", "b", "c", "d"]


def everything():
    """All paths below the current directory, sorted; directories first."""
    dirs, files = ["."], []
    for at, names, others in os.walk("."):
        links = [n for n in names if os.path.islink(os.path.join(at, n))]
        dirs += [os.path.join(at, n) for n in names if n not in links]
        files += [os.path.join(at, n) for n in others + links]
    return sorted(dirs), sorted(files)


def fill(pick):
    """A tree to start from."""
    for _ in range(14):
        dirs, files = everything()
        path = os.path.join(pick.choice(dirs), pick.choice(NAMES))
        if os.path.lexists(path):
            continue
        if pick.random() < 0.5:
            os.mkdir(path)
        else:
            write(path, pick)


def write(path, pick):
    with open(path, "a") as f:
        f.write(f"{pick.randrange(10**6)}\n" * pick.randrange(1, 4))


def step(pick):
    dirs, files = everything()
    some = dirs + files
    target = os.path.join(pick.choice(dirs), pick.choice(NAMES))
    what = pick.choice(["rename"] * 6 + ["mkdir"] * 3 + ["write", "append", "unlink", "rmtree", "link", "symlink", "chmod", "exchange"])
    if what == "rename":
        os.rename(pick.choice(some), target)
    elif what == "mkdir":
        os.mkdir(target)
    elif what == "write":
        write(target, pick)
    elif what == "append" and files:
        write(pick.choice(files), pick)
    elif what == "unlink" and files:
        os.unlink(pick.choice(files))
    elif what == "rmtree":
        remove(pick.choice(dirs[1:] or ["none"]))
    elif what == "link" and files:
        os.link(pick.choice(files), target, follow_symlinks=False)
    elif what == "symlink":
        os.symlink(pick.choice(NAMES), target)
    elif what == "chmod":
        path = pick.choice(some)
        if not os.path.islink(path):
            os.chmod(path, pick.choice([0o700, 0o755, 0o711]))
    elif what == "exchange" and len(some) > 2:
        a, b = pick.choice(some), pick.choice(some)
        os.rename(a, "./swap")
        os.rename(b, a)
        os.rename("./swap", b)


def remove(path):
    for at, names, others in os.walk(path, topdown=False):
        for n in names + others:
            full = os.path.join(at, n)
            os.rmdir(full) if os.path.isdir(full) and not os.path.islink(full) else os.unlink(full)
    os.rmdir(path)


def change(seed, count):
    pick = random.Random(seed)
    for _ in range(count):
        try:
            step(pick)
        except OSError:  # of an impossible one, such as a directory into itself
            pass


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(random.Random(int(sys.argv[2])))
    else:
        change(int(sys.argv[2]), int(sys.argv[3]))
