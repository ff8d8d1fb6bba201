"""Data sets that come in files of their own form, a file each, and which of them a folder holds."""
