"""What sockproxy's loggers are told, for a test that looks at it."""

from __future__ import annotations

import logging


class Lines(logging.Handler):
    """The lines of one logger, connections' too, until it is closed."""

    def __init__(self, name):
        super().__init__(logging.DEBUG)
        self.lines = []
        self._logger = logging.getLogger(name)
        self._before = self._logger.level
        self._logger.setLevel(logging.DEBUG)
        self._logger.addHandler(self)

    def emit(self, record):
        self.lines.append(record.getMessage())

    def close(self):
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)
        super().close()
