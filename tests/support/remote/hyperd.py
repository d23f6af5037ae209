"""hyperd with one hypervisor more: HYPER_OTHER_HOST has its address and port."""

from __future__ import annotations

import os
import sys

from hyper.config import Config
from hyper.daemon import hypervisors
from hyper.daemon.main import main
from tests.support.remote.driver import NAME, RemoteDriver

VARIABLE = "HYPER_OTHER_HOST"


def _remote(config: Config) -> RemoteDriver:
    address, port = os.environ[VARIABLE].split()
    return RemoteDriver((address, int(port)), config.data_root / NAME)


if __name__ == "__main__":
    sys.exit(main(makers={**hypervisors.BUILT_IN, NAME: _remote}))
