"""Sources of a recipe as local files: found, downloaded, checked."""
