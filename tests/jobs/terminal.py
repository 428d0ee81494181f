"""Drives an interactive bash on a pty of its own and prints what the user sees: terminal.py COMMAND... (that becomes the bash).

Prompt, foreground and background jobs, stop and continue, interrupt, end of file, window size. Process numbers and the terminal's own
noise are left out, so that two runs can be compared."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

PROMPT = b"READY> "
SHELL = ["/bin/bash", "--norc", "--noprofile", "-i"]
SETTINGS = {"PS1": PROMPT.decode(), "HISTFILE": "", "TERM": "dumb", "INPUTRC": "/dev/null", "BASH_SILENCE_DEPRECATION_WARNING": "1"}
PATIENCE = 20  # seconds


class Terminal:
    def __init__(self, command):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update(SETTINGS)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is ignored where a shell without job control has put this in the background
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))  # before there is a prompt, which would be printed again
            os.execvp(command[0], command)
        self.expect_prompt()

    def expect_prompt(self, insist=b""):
        """What is printed until the prompt; `insist` is typed again as long as nothing comes: a job may not be in the foreground yet."""
        seen, end = b"", time.monotonic() + PATIENCE
        while PROMPT not in seen:
            left = end - time.monotonic()
            if select.select([self.master], [], [], max(0, min(left, 2 if insist else left)))[0]:
                seen += os.read(self.master, 4096)
            elif insist and left > 2:
                os.write(self.master, insist)
            else:
                sys.exit(f"no prompt in {seen!r}")
        return seen.decode(errors="replace")

    def type(self, keys, pause):
        """Keys for a program that must first be there to read them."""
        os.write(self.master, keys)
        time.sleep(pause)

    def say(self, keys):
        os.write(self.master, keys)
        insist = keys if keys in (b"\x1a", b"\x03") else b""
        text = re.sub(r"^\[1\] \d+", "[1] PID", self.expect_prompt(insist).replace("\r", ""), flags=re.M)
        print("\n".join(line for line in text.split("\n") if line and PROMPT.decode() not in line), flush=True)

    def end(self):
        os.write(self.master, b"exit 7\n")
        status = os.waitpid(self.pid, 0)[1]
        print("exit", os.waitstatus_to_exitcode(status))


def session(command):
    bash = Terminal(command)
    bash.say(b"stty -echo; tty | grep -c /dev/pts/\n")
    bash.say(b"stty size\n")
    bash.say(b"test -t 0 && test -t 1 && echo terminal; echo >/dev/tty here\n")
    bash.say(b"sleep 100 & jobs\n")
    bash.say(b"kill %1; wait %1; echo waited $?\n")
    bash.type(b"sleep 100\n", 1)
    bash.say(b"\x1a")
    bash.say(b"jobs\n")
    bash.say(b"bg %1\n")
    bash.type(b"fg %1\n", 0.5)
    bash.say(b"\x03")
    bash.say(b"echo after $?\n")
    bash.type(b"cat > typed\n", 0.5)
    bash.say(b"words from the terminal\n\x04")
    bash.say(b"cat typed; set -o | grep monitor\n")
    bash.end()


if __name__ == "__main__":
    session(sys.argv[1:] or SHELL)
