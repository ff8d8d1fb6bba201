"""What mixing costs, and how fast others are: `python -m mixdali.pipelines.bench --help`."""
