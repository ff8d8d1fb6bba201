"""From a recipe to its images and its loaders."""
