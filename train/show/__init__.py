"""What a person sees of a run: its progress, pictures and tables."""
