"""`python -m pipelines.bench`."""

from pipelines.bench.cli import main

raise SystemExit(main())
