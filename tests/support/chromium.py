"""A headless Chromium that remembers what went wrong on its pages."""

from __future__ import annotations

from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


class Chromium:
    """A browser; `driver` is selenium's."""

    def __init__(self, browser: str, driver: str, profile: Path, pictures: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(driver))
        self.driver.set_page_load_timeout(20)
        self.pictures = pictures

    def open(self, page: Path | str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Loads a file or an address in a window of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")  # the same file with another fragment would not be loaded again
        self.complaints()
        self.driver.get(page.absolute().as_uri() if isinstance(page, Path) else page)

    def complaints(self) -> list[str]:
        """What the console says since this was asked last: errors, and what the page's policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def one(self, selector: str):
        """The first element that a CSS selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list:
        """All elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def visible(self, selector: str) -> list:
        """Those of them that can be seen."""
        return [element for element in self.all(selector) if element.is_displayed()]

    def script(self, code: str, *arguments):
        """Runs JavaScript in the page; gives what it returns."""
        return self.driver.execute_script(code, *arguments)

    def set(self, selector: str, value: object) -> None:
        """Gives a control a value as its user would: the page hears of it."""
        self.script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            self.one(selector),
            value,
        )

    def press(self, key: str) -> None:
        """Presses a key where the focus is."""
        self.driver.switch_to.active_element.send_keys(key)

    def keep(self, name: str, *, whole: bool = False) -> Path:
        """Keeps a picture of the window, or of the whole page, for people to look at."""
        path = self.pictures / f"{name}.png"
        if whole:
            import base64

            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            path.write_bytes(base64.b64decode(shot["data"]))
        else:
            self.driver.save_screenshot(str(path))
        return path
