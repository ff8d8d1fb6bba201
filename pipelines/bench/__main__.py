"""`python -m mixdali.pipelines.bench`."""

import sys

try:
    from .cli import main
except ModuleNotFoundError as error:
    if error.name not in ("matplotlib", "rich", "PIL"):
        raise
    sys.exit(f"error: the measurements need {error.name}: pip install 'mixdali[tools]'")

raise SystemExit(main())
