"""A headless Chromium, spoken to through a pipe (the DevTools protocol), for looking at pages as a reader would."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


def find():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    def __init__(self, url):
        self.home = tempfile.mkdtemp(prefix="bvisor-browser-")
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()

        def pipes():
            low = [os.dup(to_read), os.dup(back_write)]
            high = [os.dup2(low[0], 60), os.dup2(low[1], 61)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        options = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars", "--disable-background-networking", f"--user-data-dir={self.home}", "--remote-debugging-pipe"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium's own sandbox does not work as root
        env = dict(os.environ, HOME=self.home)
        self.process = subprocess.Popen([find(), *options, "about:blank"], preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, start_new_session=True)
        os.close(to_read)
        os.close(back_write)
        self.rest, self.number, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Log", "Runtime", "Network":
            self.call(domain + ".enable")
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def receive(self, seconds):
        while b"\0" not in self.rest:
            if not select.select([self.back], [], [], seconds)[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self.back, 1 << 20)
            if not piece:
                raise OSError("the browser has gone")
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(message)
        if "id" not in message:
            self.events.append(message)
        return message

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(60)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise ValueError(f"{method}: {answer['error']}")
                return answer["result"]

    def wait(self, event):
        while not any(e["method"] == event for e in self.events):
            self.receive(60)

    def run(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise ValueError(str(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def look(self, width, height, dark=False):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path):
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self):
        """What the page's policy or script has said against something."""
        return [e["params"] for e in self.events if e["method"] == "Log.entryAdded" or e["method"] == "Runtime.exceptionThrown"]

    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, TimeoutError, ValueError):
            self.process.kill()
        self.process.wait(30)
        os.close(self.to)
        os.close(self.back)
        for _ in range(50):  # its helpers write for a moment
            shutil.rmtree(self.home, ignore_errors=True)
            if not os.path.exists(self.home):
                break
            time.sleep(0.1)
