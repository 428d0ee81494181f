# An interactive bash on a pty that a program inside makes: prompt, jobs, stop and continue, interrupt. tests/jobs/terminal is the same
# with the pty of `bvisor run -t`.
# TIER: ci
prepare()
{
	need /usr/bin/python3 bash
}

run()
{
	/usr/bin/python3 "$(dirname "$0")/terminal.py"
}
