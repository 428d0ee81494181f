#!/usr/bin/python3
"""Does the job harness itself notice what it is there to notice? Needs no bvisor. Ends with `harness: N passed, N failed`."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import manifest  # noqa: E402
from sandbox import flatten  # noqa: E402


def program(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class Changes(unittest.TestCase):
    def setUp(self):
        self.area = tempfile.TemporaryDirectory()
        self.addCleanup(self.area.cleanup)
        self.sh("mkdir d d/sub; echo a >d/a; echo b >d/sub/b; ln -s a d/l; echo c >c")
        self.before = manifest.scan(self.area.name)

    def sh(self, script):
        subprocess.run(["sh", "-ec", script], cwd=self.area.name, check=True)

    def changed(self, script):
        self.sh(script)
        return manifest.changes(self.before, manifest.scan(self.area.name))

    def test_nothing_done_is_no_change(self):
        self.assertEqual(self.changed("cat c >/dev/null"), {})

    def test_content_mode_and_time_are_modifications(self):
        self.assertEqual(self.changed("echo more >>c; chmod 600 d/a; touch -d 2001-01-01 d/sub/b"), {"c": "M", "d/a": "M", "d/sub/b": "M"})

    def test_times_of_directories_are_no_change(self):
        self.assertEqual(self.changed("echo n >d/n"), {"d/n": "A"})

    def test_a_deleted_directory_is_one_entry(self):
        self.assertEqual(self.changed("rm -r d"), {"d": "D"})

    def test_another_type_is_a_type_change(self):
        self.assertEqual(self.changed("rm c; mkdir c; echo x >c/x; rm d/l; echo >d/l"), {"c": "T", "c/x": "A", "d/l": "T"})

    def test_a_manifest_survives_its_text_form(self):
        text = subprocess.run([sys.executable, os.path.join(HERE, "manifest.py"), self.area.name], capture_output=True, text=True, check=True)
        self.assertEqual(manifest.load(text.stdout.splitlines()), self.before)


class Flatten(unittest.TestCase):
    before = {"/t/d": 0, "/t/d/a": 0, "/t/d/sub": 0, "/t/d/sub/b": 0, "/t/f": 0}

    def test_a_renamed_directory_is_a_deletion_and_additions(self):
        self.assertEqual(flatten([("R", "/t/e", "/t/d")], self.before),
                         {"/t/d": "D", "/t/e": "A", "/t/e/a": "A", "/t/e/sub": "A", "/t/e/sub/b": "A"})

    def test_changes_below_a_new_name_refer_to_it(self):
        rows = [("R", "/t/e", "/t/d"), ("M", "/t/e/a", None), ("D", "/t/e/sub", None)]
        self.assertEqual(flatten(rows, self.before), {"/t/d": "D", "/t/e": "A", "/t/e/a": "A"})

    def test_what_was_renamed_out_of_a_deleted_directory_is_an_addition(self):
        self.assertEqual(flatten([("D", "/t/d", None), ("R", "/t/g", "/t/d/a")], self.before), {"/t/d": "D", "/t/g": "A"})

    def test_plain_rows_stay(self):
        self.assertEqual(flatten([("M", "/t/f", None), ("A", "/t/n", None)], self.before), {"/t/f": "M", "/t/n": "A"})


class KillCheck(unittest.TestCase):
    """check_files of killloop over the tree that the writer leaves natively."""

    @classmethod
    def setUpClass(cls):
        cls.killloop = program("killloop")
        cls.area = tempfile.TemporaryDirectory()
        with open(f"{cls.area.name}/lower", "w") as f:
            f.write(cls.killloop.LOWER)
        writer = subprocess.Popen([sys.executable, os.path.join(HERE, "writer.py")], cwd=cls.area.name, stdout=subprocess.PIPE)
        cls.durable = 0
        while cls.durable < 70:
            cls.durable = int(writer.stdout.readline())
        writer.kill()
        writer.communicate()

    @classmethod
    def tearDownClass(cls):
        cls.area.cleanup()

    def files(self):
        found = {}
        for top, dirs, names in os.walk(self.area.name):
            rel = os.path.relpath(top, self.area.name)
            for name in dirs:
                found[os.path.normpath(f"{rel}/{name}")] = ("dir", "")
            for name in names:
                with open(f"{top}/{name}") as f:
                    found[os.path.normpath(f"{rel}/{name}")] = (oct(os.stat(f"{top}/{name}").st_mode & 0o777), f.read())
        return found

    def test_a_whole_tree_passes(self):
        self.assertEqual(self.killloop.check_files(self.files(), self.durable), [])

    def test_each_kind_of_loss_is_found(self):
        whole = self.files()
        kept = max(n for n in range(3, 68, 3) if f"d{n}/file" in whole)
        journal = whole["journal"]
        losses = {
            "journal": ("0o644", "".join(f"{n}\n" for n in range(1, self.durable))),
            "state": ("0o644", f"state {self.durable - 1}\n"),
            "lower": ("0o644", self.killloop.LOWER),
            f"d{kept}/file": ("0o600", "in\n"),
        }
        for name, value in losses.items():
            self.assertNotEqual(self.killloop.check_files(dict(whole, **{name: value}), self.durable), [], name)
        holes = dict(whole, journal=(journal[0], journal[1].replace("\n7\n", "\n")))
        self.assertNotEqual(self.killloop.check_files(holes, self.durable), [])


if __name__ == "__main__":
    outcome = unittest.main(exit=False, verbosity=0).result
    wrong = len(outcome.failures) + len(outcome.errors)
    print(f"harness: {outcome.testsRun - wrong} passed, {wrong} failed")
    sys.exit(1 if wrong else 0)
