"""Something that changes again and again while a test goes on."""

from __future__ import annotations

import threading


class Churn:
    """Calls `change(n)` again and again beside what runs in the `with`."""

    def __init__(self, change, pause=0.02):
        self.times, self.error = 0, None
        self._change, self._pause = change, pause
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def goes_on(self, least):
        """Whether it is still to come to so many changes; where each of them takes long."""
        return self.times <= least and self.error is None

    def _run(self):
        try:
            while not self._done.wait(self._pause):
                self._change(self.times)
                self.times += 1
        except Exception as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        if self.error:
            raise self.error
