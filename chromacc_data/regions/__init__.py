"""Where chromatin is open: BED and signal files to peaks, to joint peaks, to windows and their labels."""
