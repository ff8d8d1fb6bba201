"""Whether a run that is killed again and again ends as one that was left alone."""
