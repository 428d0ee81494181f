"""Every call of the kernel's tables must be known to the guest tests: tried against the host's files, refused, or listed as
one that cannot change a file."""

import pathlib
import re
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# Newer than the headers of the oldest supported build host; the same on both architectures.
NEWER = """openat2 cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr
lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
listns""".split()


def covers(source):
    """The words of the COVERS lines in the head comment."""
    head = source.read_text().split("*/", 1)[0]
    return {word for line in re.findall(r"COVERS:(.*)", head) for word in line.split()}


def kernel_names(compiler):
    """The calls of the architecture that `compiler` builds for."""
    macros = subprocess.run([compiler, "-E", "-dM", "-x", "c", "-"], input="#include <asm/unistd.h>\n", text=True, check=True,
                            capture_output=True).stdout
    names = set(re.findall(r"^#define __NR_(\w+) ", macros, re.M))
    return {n.removeprefix("3264_") for n in names} - {"syscalls", "arch_specific_syscall", "Linux"}


def check(cc):
    """Complaints."""
    said = []
    touched, refused = covers(HERE / "hosttouch.c"), covers(HERE / "refused.c")
    rows = set(re.findall(r"ROW\((\w+),", (HERE / "hosttouch.c").read_text())) - {"call"}
    listed = [line.split(":", 1)[1].split() for line in (HERE / "unchanging.txt").read_text().splitlines() if not line.startswith("#")]
    unchanging = {word for words in listed for word in words}
    said += [f"hosttouch.c says it covers {n} and has no row for it" for n in sorted(touched - rows)]
    said += [f"hosttouch.c has a row for {n} and does not say so" for n in sorted(rows - touched)]
    said += [f"{n} cannot be both in hosttouch.c and in unchanging.txt" for n in sorted(touched & unchanging)]
    for compiler in [cc, "aarch64-linux-gnu-gcc", "x86_64-linux-gnu-gcc"]:
        if shutil.which(compiler):
            # the generic table names these three by what they are on 64 bits
            same = {"fstatat": "newfstatat", "fstatat64": "newfstatat", "fadvise64_64": "fadvise64"}
            names = {same.get(n, n) for n in kernel_names(compiler)} | set(NEWER)
            said += [f"{compiler}: nothing is known about {n}" for n in sorted(names - touched - refused - unchanging)]
    return said + check_rows()


def check_rows():
    """Every row of the supervisor's table has a guest test that says so, and no test speaks of a call without a row."""
    table = (HERE.parent.parent / "supervisor/table.c").read_text()
    rows = set(re.findall(r"^\s[A-Z_]+\((?:[A-Z]+, )?(\w+)[,)]", table, re.M))
    tested = set().union(*(covers(source) for source in HERE.glob("*.c")))
    return [f"no guest program covers {n}, which the supervisor's table has" for n in sorted(rows - tested)] + \
           [f"{n} is covered here and has no row in the supervisor's table" for n in sorted(tested - rows)]
