"""The studies, a file each that sets STUDY."""
