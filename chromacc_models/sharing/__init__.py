"""Networks to share: Kipoi model folders."""
