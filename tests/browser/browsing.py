"""A headless Chromium for tests of the pages, which sees nothing but this machine and leaves nothing behind.

`Browser` starts one with a profile of its own in a temporary folder. Whatever a page complains of (errors of
scripts, answers that are errors, violations of its Content-Security-Policy) and asks for, the browser notes.
"""

import base64
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

import harness

# A page that is looked at for the first time on a busy machine.
DEADLINE_S = 30.0

OPTIONS = [
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage",
    # Names are not looked up, and nobody is called.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-domain-reliability", "--disable-breakpad", "--disable-crash-reporter", "--disable-extensions",
    "--disable-client-side-phishing-detection", "--metrics-recording-only", "--no-pings", "--no-first-run",
    "--no-default-browser-check", "--disable-features=MediaRouter,OptimizationHints,Translate",
]


def _options(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in [*OPTIONS, f"--user-data-dir={folder}/profile", f"--crash-dumps-dir={folder}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return options


class Browser:
    def __init__(self, width=1280, height=900):
        # Selenium brings its own driver over the network only if it is not told of one; this forbids it to.
        os.environ.update(SE_OFFLINE="true", SE_AVOID_STATS="true")
        self.folder = Path(tempfile.mkdtemp(prefix="ticketd-browser-"))
        # The folder's are gone when it closes.
        self.shots = Path(os.environ.get("TICKETD_SCREENSHOTS") or self.folder)
        self._asked = []
        self._said = []
        try:
            service = Service(shutil.which("chromedriver"), log_output=str(self.folder / "driver.log"),
                              env=harness.child_environment({"HOME": self.folder}),
                              popen_kw={"preexec_fn": harness._die_with_the_test})
            self.driver = webdriver.Chrome(options=_options(self.folder), service=service)
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def close(self):
        """Ends it, with whatever it has started; fails if that took force.  May run twice."""
        driver, self.driver = getattr(self, "driver", None), None
        if driver is not None:
            driver.quit()
        try:
            harness.eventually(lambda: not self._processes(), "every process of the browser has ended")
        finally:
            for pid in self._processes():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self):
        """Those that were told of its folder, which is all but the driver."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if str(self.folder).encode() in words and harness.alive(int(pid)):
                found.append(int(pid))
        return found

    # -- how it looks

    def resize(self, width, height, mobile=False):
        """The size of the page itself, in its own pixels."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile})

    def prefer(self, **features):
        """What the user wants of pages: prefer(color_scheme="dark", reduced_motion="reduce")."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-" + name.replace("_", "-"), "value": value} for name, value in features.items()]})

    def screenshot(self, name, whole=False):
        """Keeps what is seen, or the whole page, in $TICKETD_SCREENSHOTS or for as long as the browser is open, and
        prints where."""
        self.shots.mkdir(parents=True, exist_ok=True)
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path = self.shots / f"{name}.png"
        path.write_bytes(base64.b64decode(taken["data"]))
        print(f"screenshot: {path}")
        return path

    # -- what is on the page

    def open(self, url):
        self.driver.get(url)

    def script(self, text, *arguments):
        """What JavaScript returns."""
        return self.driver.execute_script(text, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def _on(self, selector, text, act, deadline_s=DEADLINE_S):
        """Waits for a visible element that has that text in it, and returns what `act` makes of it. A page may put
        another in its place, or something before it, at any time: then it is looked for again."""
        end, trouble = time.monotonic() + deadline_s, None
        while True:
            try:
                for element in self.all(selector):
                    if element.is_displayed() and (text is None or text in element.text):
                        return act(element)
            except WebDriverException as error:
                trouble = error
            assert time.monotonic() < end, (
                f"no {selector} with {text!r} on the page ({trouble}), which says:\n{self.text()}")
            time.sleep(0.05)

    def find(self, selector, text=None, deadline_s=DEADLINE_S):
        """Waits for a visible element, which has that text in it."""
        return self._on(selector, text, lambda element: element, deadline_s)

    def read(self, selector, text=None):
        """What it says."""
        return self._on(selector, text, lambda element: element.text)

    def click(self, selector, text=None):
        def act(element):
            self.script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
            element.click()
        self._on(selector, text, act)

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    # -- what it noted

    def _read_logs(self):
        self._said += self.driver.get_log("browser")
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._asked.append(message["params"]["request"]["url"])

    def complaints(self):
        """Errors since the last `forget`, violations of policies among them."""
        self._read_logs()
        return [entry["message"] for entry in self._said if entry["level"] == "SEVERE"]

    def asked(self):
        """Every address that pages asked for since the last `forget`, but those that are data themselves."""
        self._read_logs()
        return [url for url in self._asked if not url.startswith(("data:", "blob:", "about:"))]

    def forget(self):
        """Leaves the page, with nothing kept but what a cache may keep."""
        self.prefer()
        self.driver.get("about:blank")
        self._read_logs()
        self._said.clear()
        self._asked.clear()
