"""The commands of ``chromacc-models``, a module for each stage of the work; each makes one library call."""
