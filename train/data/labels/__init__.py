"""Labels other than the data's own: from files, and redrawn at random."""
