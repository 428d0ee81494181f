# python3 -m venv, pip install of a local source package, its tests, compileall.
# TIER: ci
# LOOSE: tmp/*
prepare()
{
	need /usr/bin/python3
	/usr/bin/python3 -c 'import ensurepip' || exit 77
	mkdir -p pkg/greeter pkg/tests
	cat >pkg/setup.py <<-'P'
		from setuptools import setup
		setup(name="greeter", version="1.2", packages=["greeter"], entry_points={"console_scripts": ["greet = greeter:main"]}, python_requires=">=3.8")
	P
	cat >pkg/greeter/__init__.py <<-'P'
		import sqlite3, ssl, threading
		def greeting(name):
		    return f"hello {name}"
		def main():
		    print(greeting("from the console script"))
	P
	cat >pkg/tests/test_greeter.py <<-'P'
		import os, subprocess, sys, tempfile, unittest
		import greeter
		class Greeter(unittest.TestCase):
		    def test_text(self):
		        self.assertEqual(greeter.greeting("x"), "hello x")
		    def test_is_installed_in_the_venv(self):
		        self.assertIn("site-packages", greeter.__file__)
		        self.assertEqual(os.path.dirname(sys.executable), os.path.join(os.environ["VENV"], "bin"))
		    def test_child(self):
		        out = subprocess.run([sys.executable, "-c", "import greeter; greeter.main()"], capture_output=True, check=True)
		        self.assertEqual(out.stdout, b"hello from the console script\n")
		    def test_temporary_file(self):
		        with tempfile.NamedTemporaryFile() as f:
		            f.write(b"x" * 100000)
		            f.flush()
		            self.assertEqual(os.stat(f.name).st_size, 100000)
	P
}

run()
{
	/usr/bin/python3 -m venv venv
	export VENV=$PWD/venv PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
	venv/bin/pip install -q --no-index --no-build-isolation ./pkg 2>&1 | grep -v -i -E 'deprecat|warning|notice|^ *$' || true
	venv/bin/greet
	(cd / && "$VENV/bin/python" -m unittest discover -s "$VENV/../pkg/tests" 2>&1) | sed 's/ in [0-9.]*s//'
	cp -r /usr/lib/python3.*/asyncio asyncio
	rm -rf asyncio/__pycache__
	venv/bin/python -m compileall -q asyncio venv/lib
	find asyncio -name '*.pyc' | wc -l
	venv/bin/python -c 'import sys; print(sys.prefix == sys.argv[1], sys.version_info[:2])' "$VENV"
}
