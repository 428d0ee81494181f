# A repository of 2,200 files: clone, status, edit, commit, branch, checkout, gc, fsck.
# TIER: ci
# VOLATILE: */.git/index (holds times and inode numbers)
# VOLATILE: */.git/logs/* */.git/gc.log
# VOLATILE: */.git/objects/info/* */.git/objects/pack/* (threads decide which deltas are found)
# VOLATILE: origin/.git/objects/* (linked by the clone; gc touches some of them)
# LOOSE: */.git/objects/pack/*
prepare()
{
	need git
	mkdir origin
	cd origin
	git init -q -b main .
	# As long as source files are: 2 to 30 KiB, 11 KiB on average.
	/usr/bin/python3 - <<-'P'
		import os, random
		rng = random.Random(7)
		words = ["".join(rng.choices("abcdefghijklmnop_", k=rng.randint(2, 11))) for _ in range(4000)]
		for d in range(1, 45):
		    os.makedirs(f"src/dir{d}/deep/er")
		    for f in range(1, 51):
		        with open(f"src/dir{d}/deep/er/file{f}.txt", "w") as out:
		            out.write(f"file {f} of {d}\n")
		            for _ in range(rng.randint(40, 600)):
		                out.write(" ".join(rng.choices(words, k=5)) + "\n")
	P
	local d
	ln -s src/dir1 link
	printf '#!/bin/sh\necho tool\n' >tool.sh
	chmod +x tool.sh
	git add -A
	git commit -qm 'first'
	for d in 3 4 5; do
		sed -i 's/file/changed file/' src/dir$d/deep/er/*.txt
		git commit -qam "change $d"
	done
	git tag v1
}

run()
{
	git clone -q origin work
	cd work
	git config core.trustctime false
	git status --short --branch
	local f
	for f in src/dir7/deep/er/*.txt; do echo "one more line" >>"$f"; done
	git mv src/dir8 src/moved8
	git rm -qr src/dir9
	echo new >new.txt
	git add -A
	git status --short | sort | head -n 20
	git diff --cached --stat | tail -n 1
	git commit -qm 'edit'
	git checkout -qb side v1
	git status --short
	echo side >side.txt
	git add side.txt
	git commit -qm 'side'
	git checkout -q main
	git merge -q --no-edit side
	git stash list
	echo dirty >>new.txt
	git stash -q
	git stash pop -q
	git log --format='%h %s' | head -n 5
	git diff | tail -n 3
	git -c pack.threads=1 gc -q
	git fsck --full 2>&1 | grep -v '^Checking' || true
	git count-objects -v | grep -E '^(count|in-pack|packs)'
	./tool.sh
	ls src | wc -l
}
