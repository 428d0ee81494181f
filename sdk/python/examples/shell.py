"""An interactive shell in a sandbox, and what it changed."""

import os
import select
import shutil
import sys
import termios
import tty

from bvisor import Sandbox


def main() -> None:
    size = shutil.get_terminal_size()
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    with Sandbox() as sb, sb.pty(["bash"], size.lines, size.columns, text=False) as terminal:
        if saved:
            tty.setraw(0)
        try:
            inputs = [0, terminal.fileno()]
            while True:
                ready, _, _ = select.select(inputs, [], [])
                if 0 in ready:
                    typed = os.read(0, 4096)
                    terminal.write(typed or "\x04")
                    if not typed:
                        inputs.remove(0)
                if terminal.fileno() in ready:
                    shown = terminal.read()
                    if not shown:
                        break
                    os.write(1, shown)
        finally:
            if saved:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
        for change in sb.diff():
            print(change.kind, change.path, file=sys.stderr)


if __name__ == "__main__":
    main()
