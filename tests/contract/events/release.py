"""`python -m tests.contract.events.release`: write down the schemas of types that were not released yet.

A released type is never written again: it changes compatibly, or its successor gets a new version.
"""

import json

from libs.common.events.all_types import CATALOG
from libs.common.events.asyncapi import json_schema
from tests.contract.events.compatibility import RELEASED


def main() -> None:
    """Write the missing files and name them."""
    RELEASED.mkdir(exist_ok=True)
    for model in CATALOG:
        file = RELEASED / f"{model.TYPE}.json"
        if not file.exists():
            file.write_text(json.dumps(json_schema(model), indent=2, sort_keys=True) + "\n", encoding="utf-8")
            print(file.name)


if __name__ == "__main__":
    main()
