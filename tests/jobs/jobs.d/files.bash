# tar x of 20,000 files, rsync -a, cp -a, find, rm -rf of host directories.
# TIER: ci
prepare()
{
	need tar rsync find
	mkdir stage host
	/usr/bin/python3 - <<'PY'
import os
for d in range(200):
    os.makedirs(f"stage/t/d{d // 20}/e{d}")
    for f in range(100):
        path = f"stage/t/d{d // 20}/e{d}/f{f}"
        with open(path, "w") as out:
            out.write(f"{d} {f}\n" * (1 + f % 7))
        os.utime(path, ns=(10**18 + d * 1000003, 10**18 + d * 7 + f * 1000))
        os.chmod(path, (0o644, 0o600, 0o755)[f % 3])
    os.symlink("f1", f"stage/t/d{d // 20}/e{d}/link")
    os.link(f"stage/t/d{d // 20}/e{d}/f2", f"stage/t/d{d // 20}/e{d}/hard")
PY
	tar -C stage -cf tree.tar t
	mkdir host/docs host/keep
	tar -C host/docs -xf tree.tar --wildcards 't/d1/*' 't/d2/*'
	tar -C host/keep -xf tree.tar --wildcards 't/d3/*'
	rm -rf stage
}

run()
{
	mkdir x
	tar -C x -xf tree.tar
	find x -type f | wc -l
	find x -printf '%P %y %m %s %n %TY\n' | sort | md5sum
	rsync -a host/docs/ synced/
	rsync -ai host/docs/ synced/
	cp -a host/keep copied
	diff -r host/keep copied && echo equal
	find copied -newermt 2001-09-10 | wc -l
	rm -rf host/docs
	rm -rf x/t/d4 x/t/d5
	ls host x/t | sort
	mv host/keep host/renamed
	find host/renamed -name 'f9*' -delete
	chmod -R g+w host/renamed/t/d3/e60
	touch -d '2020-02-02 02:02:02 UTC' host/renamed/t/d3/e61/f1
	find host -type f | sort | md5sum
	du -s --apparent-size --count-links x >/dev/null
	grep -rl '^7 5$' x | sort | head -n 3
}
