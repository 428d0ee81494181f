# cargo build, cargo test and cargo run of a program without dependencies, offline.
# TIER: ci
# VOLATILE: prog/target/* cargohome/*
# LOOSE: prog/target/*/.fingerprint/* prog/target/*/incremental/* prog/target/*/build/* cargohome/* tmp/*
cargo_env()
{
	local real=${JOB_REAL_HOME:-/nonexistent}
	export RUSTUP_HOME=${RUSTUP_HOME:-$real/.rustup} CARGO_HOME=$PWD/cargohome CARGO_INCREMENTAL=0 CARGO_NET_OFFLINE=true
	local tools
	for tools in "$RUSTUP_HOME"/toolchains/*/bin; do
		if [ -x "$tools/cargo" ]; then PATH=$tools:$PATH; fi
	done
}

prepare()
{
	cargo_env
	need cargo rustc
	mkdir -p prog/src
	printf '[package]\nname = "prog"\nversion = "0.1.0"\nedition = "2021"\n' >prog/Cargo.toml
	cat >prog/src/main.rs <<-'R'
		use std::{env, fs, process::Command};
		fn total(n: u64) -> u64 { (1..=n).sum() }
		fn main() {
		    let made = fs::write("made.txt", "by the program\n").is_ok();
		    let child = Command::new("/bin/echo").arg("child").output().unwrap();
		    println!("{} {} {} {}", total(100), made, String::from_utf8_lossy(&child.stdout).trim(), env::current_exe().unwrap().exists());
		}
		#[test]
		fn adds() { assert_eq!(total(4), 10); }
	R
}

run()
{
	cargo_env
	cd prog
	cargo build -q --release
	cargo run -q --release
	cargo test -q 2>&1 | grep 'test result' | sed 's/; finished.*//'
	ls
}
