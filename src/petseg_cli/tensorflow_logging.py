"""TensorFlow, without the lines that it writes to stderr by itself."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextmanager
def quiet_import() -> Iterator[None]:
    """Keeps TensorFlow, and what comes with it, from talking; an import that fails is heard.

    The log level does not reach the first lines any more (tensorflow#100442), so stderr is held
    back meanwhile. Does nothing when the user has set the level.
    """
    if LEVEL in os.environ:
        yield
        return
    os.environ[LEVEL] = "3"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    logging.getLogger("absl").setLevel(logging.ERROR)
