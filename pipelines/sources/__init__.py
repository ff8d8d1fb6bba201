"""What the pipelines read: lists of files or images in memory, and where they come from."""
