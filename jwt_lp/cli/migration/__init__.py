"""The steps of `jwt-lp migrate`: a project's files, the change of each for one library, and the patch."""
