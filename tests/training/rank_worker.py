"""A rank of several that train what a file of configs says, one after the other: python rank_worker.py FILE."""

import json
import sys
from pathlib import Path

from mlip.configfile import parse_config
from mlip.run import resume, train
from mlip.training.distributed import joined

if __name__ == "__main__":
    with joined() as ranks:
        for values in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
            if isinstance(values, str):
                resume(values, quiet=True, ranks=ranks)
            else:
                train(parse_config(values, "test"), quiet=True, ranks=ranks)
