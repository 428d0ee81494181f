# A database in WAL mode that two processes write at once.
# TIER: ci
# VOLATILE: *.db (which writer came first)
prepare()
{
	need sqlite3
	sqlite3 host.db "pragma journal_mode=wal; create table t(who, n); insert into t values ('host', 0);" >/dev/null
}

writer()
{
	local i
	for i in $(seq 1 60); do
		echo "begin immediate; insert into t values ('$1', $i); commit;"
	done | sqlite3 -cmd '.timeout 20000' "$2"
}

run()
{
	local db
	sqlite3 fresh.db "pragma journal_mode=wal; create table t(who, n);"
	for db in host.db fresh.db; do
		writer a $db &
		writer b $db &
		wait
		sqlite3 $db "select who, count(*), sum(n) from t group by who order by who; pragma integrity_check; pragma journal_mode;"
		sqlite3 $db "update t set n = n + 1; pragma wal_checkpoint(truncate); vacuum;"
		sqlite3 $db "pragma journal_mode=delete; select sum(n) from t;"
	done
	ls
}
