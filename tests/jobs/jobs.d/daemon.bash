# A daemon that forks twice, leaves its session, works, and is stopped through its pid file.
# TIER: ci
prepare()
{
	need /usr/bin/python3
	cat >daemon.py <<-'P'
		import os, signal, sys, time
		def detach():
		    if os.fork():
		        os._exit(0)
		    os.setsid()
		    if os.fork():
		        os._exit(0)
		    os.umask(0o027)
		    null = os.open("/dev/null", os.O_RDWR)
		    for fd in 0, 1, 2:
		        os.dup2(null, fd)
		def main(spool):
		    os.chdir(spool)
		    done = []
		    signal.signal(signal.SIGTERM, lambda *_: done.append(1))
		    with open("pid.tmp", "w") as f:
		        f.write(str(os.getpid()))
		    os.rename("pid.tmp", "pid")
		    while not done:
		        for name in sorted(n for n in os.listdir(".") if n.endswith(".in")):
		            with open(name) as src, open("." + name, "w") as dst:
		                dst.write(src.read().upper())
		            os.rename("." + name, name[:-3] + ".out")
		            os.unlink(name)
		        time.sleep(0.01)
		    with open("last", "w") as f:
		        f.write(f"sid differs {os.getsid(0) != os.getpid()}, parent gone\n")
		    os.unlink("pid")
		detach()
		main(sys.argv[1])
	P
}

run()
{
	mkdir spool
	/usr/bin/python3 daemon.py "$PWD/spool"
	wait_for 20 test -s spool/pid
	kill -0 "$(cat spool/pid)" && echo running
	local i
	for i in 1 2 3; do
		echo "letter $i" >spool/$i.tmp
		mv spool/$i.tmp spool/$i.in
	done
	wait_for 20 test -e spool/3.out
	kill -TERM "$(cat spool/pid)"
	wait_for 20 test ! -e spool/pid
	cat spool/*.out spool/last
	stat -c '%a %n' spool/*
}
