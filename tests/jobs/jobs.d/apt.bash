# apt-get download of a package and dpkg-deb -x of it.
# NET: host (where this machine gets packages from may be near it)
# TIER: ci
# OUTSIDE: /var/cache/apt/* /var/lib/apt/* /var/log/apt/* /var/lib/dpkg/lock*
prepare()
{
	need apt-get dpkg-deb
	apt-cache policy hello | grep -q Candidate || exit 77
	mkdir cache
}

run()
{
	apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= download hello
	touch -d @0 -- *.deb # a server may tell no time, then it is that of the download
	ls -- *.deb | wc -l
	dpkg-deb -x hello_*.deb root
	dpkg-deb -I hello_*.deb | grep Package
	find root | sort
	root/usr/bin/hello
	dpkg-deb -b root rebuilt.deb 2>&1 | tail -n 1 || echo "no control directory: $?"
}
