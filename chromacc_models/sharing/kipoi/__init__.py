"""Models for Kipoi: the folder that holds one, the class that serves it, and what Kipoi needs fixed."""
