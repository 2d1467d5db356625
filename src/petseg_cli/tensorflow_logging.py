"""TensorFlow without the lines that it writes to stderr by itself."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


# Python loggers that write warnings nobody can act on, such as each retry of a download.
LOGGERS = ("absl", "urllib3")


@contextmanager
def quiet_import() -> Iterator[None]:
    """Silences TensorFlow from its import on, whatever log level the environment asks for.

    The log level does not reach the first lines (tensorflow#100442), so stderr is held back during
    the import. It is written after all where the import fails.

    Yields:
        Nothing.
    """
    os.environ[LEVEL] = "3"
    with quiet_stderr(replay=True):
        yield
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def quiet_stderr(*, replay: bool = False) -> Iterator[None]:
    """Drops what is written to stderr, by C++ code too.

    Args:
        replay: Whether it is written after all where an exception is raised.

    Yields:
        Nothing.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            if replay:
                log.seek(0)
                os.write(stderr, log.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
