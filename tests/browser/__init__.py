"""What runs in a browser, in a browser: Debian's Chromium, driven by Playwright. `make browser` runs it."""
