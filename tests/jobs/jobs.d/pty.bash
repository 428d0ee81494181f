# An interactive bash on a pty of its own: prompt, foreground and background jobs, stop and continue, interrupt, window size.
# TIER: ci
prepare()
{
	need /usr/bin/python3 bash
	cat >drive.py <<-'P'
		import fcntl, os, pty, re, select, struct, sys, termios, time
		pid, master = pty.fork()
		if pid == 0:
		    os.environ.update(PS1="READY> ", HISTFILE="", TERM="dumb", INPUTRC="/dev/null")
		    os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
		fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
		def expect(text, seconds=20):
		    seen, end = b"", time.monotonic() + seconds
		    while text not in seen:
		        if not select.select([master], [], [], max(0, end - time.monotonic()))[0]:
		            sys.exit(f"no {text!r} in {seen!r}")
		        seen += os.read(master, 4096)
		    return seen
		def say(line, until=b"READY> "):
		    os.write(master, line)
		    out = expect(until).decode()
		    out = re.sub(r"^\[1\] \d+", "[1] PID", out.replace("\r", ""), flags=re.M)
		    print("\n".join(l for l in out.split("\n") if l and not l.startswith("READY> ") and "READY> " not in l), flush=True)
		expect(b"READY> ")
		say(b"stty -echo; tty | grep -c /dev/pts/\n")
		say(b"stty size\n")
		say(b"sleep 100 & jobs\n")
		say(b"kill %1; wait %1; echo waited $?\n")
		os.write(master, b"sleep 100\n")
		time.sleep(1)
		say(b"\x1a")
		say(b"jobs\n")
		say(b"bg %1\n")
		os.write(master, b"fg %1\n")
		time.sleep(0.5)
		say(b"\x03")
		say(b"echo after $?\n")
		os.write(master, b"cat > typed\n")
		time.sleep(0.5)
		say(b"words from the terminal\n\x04")
		say(b"cat typed; set -o | grep monitor\n")
		os.write(master, b"exit 7\n")
		_, status = os.waitpid(pid, 0)
		print("exit", os.waitstatus_to_exitcode(status))
	P
}

run()
{
	/usr/bin/python3 drive.py
}
