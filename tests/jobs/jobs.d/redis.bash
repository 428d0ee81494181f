# redis-server with an append-only file; clients on a unix socket and on loopback; restart from the file.
# TIER: ci
# VOLATILE: redis.log appendonlydir/*.base.aof (a hash table written in the order of its seed)
prepare()
{
	need redis-server redis-cli
	cat >redis.conf <<-'R'
		appendonly yes
		appendfsync always
		aof-use-rdb-preamble no
		save ""
		daemonize no
		logfile redis.log
		enable-debug-command yes
	R
}

start()
{
	redis-server redis.conf --dir "$PWD" --port "$JOB_PORT" --bind 127.0.0.1 --unixsocket "$PWD/redis.sock" &
	wait_for 20 redis-cli -s redis.sock ping
}

run()
{
	start
	redis-cli -s redis.sock set key value
	redis-cli -p "$JOB_PORT" incrby counter 41
	seq 1 500 | sed 's/.*/rpush list &/' | redis-cli -p "$JOB_PORT" | tail -n 1
	redis-cli -s redis.sock bgrewriteaof
	wait_for 20 sh -c 'redis-cli -s redis.sock info persistence | tr -d "\r" | grep -qx aof_rewrite_in_progress:0 && redis-cli -s redis.sock info persistence | tr -d "\r" | grep -qx aof_rewrite_scheduled:0'
	redis-cli -s redis.sock incr counter
	redis-cli -s redis.sock shutdown
	wait
	start
	redis-cli -s redis.sock mget key counter
	redis-cli -p "$JOB_PORT" llen list
	redis-cli -p "$JOB_PORT" debug digest
	redis-cli -p "$JOB_PORT" shutdown
	wait
	ls appendonlydir | sort
	test ! -e redis.sock && echo socket removed
}
